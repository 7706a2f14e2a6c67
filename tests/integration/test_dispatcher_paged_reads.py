"""Waiting items and retries of a large batch are read part by part, and each part reads its own rows alone."""

from collections.abc import Awaitable, Callable
from typing import cast
from uuid import UUID

import pytest

from devstack import Servers
from services.dispatcher.leadership import epoch
from services.dispatcher.persistence.page_store import PageStore
from services.dispatcher.persistence.retry_store import RetryStore
from services.dispatcher.settings import DispatcherSettings
from shared.postgres.migrations import migrate
from shared.postgres.pool import Pool

BATCH = UUID("0197a1b2-0000-7000-8000-000000000001")
PAGES = """INSERT INTO pages (batch_id, page, segment, partition, size, items)
    SELECT $1, n / 1000, n % 1000, 'host' || n, 1, '{}' FROM generate_series(0, 39999) AS n"""
RETRIES = """INSERT INTO retries (batch_id, ordinal, round, partition, attempt, due_at, item)
    SELECT $1, n, 1, 'host' || n, 1, now(), '{}' FROM generate_series(0, 39999) AS n"""


@pytest.mark.parametrize(
    ("fill", "read", "rows"),
    [
        (PAGES, lambda pool: PageStore(pool).waiting_slices(BATCH, 1000, (9, 999)), 1000),
        (RETRIES, lambda pool: RetryStore(pool).waiting_retries(BATCH, 1, 9999), 5000),
    ],
    ids=["pages", "retries"],
)
async def test_a_part_of_a_batch_that_the_statistics_do_not_know_reads_its_rows_alone(
    clean: Servers, fill: str, read: Callable[[Pool], Awaitable[list[object]]], rows: int
) -> None:
    """Otherwise each part sorts the rest of the batch, and a million items take time by the square."""
    settings = DispatcherSettings(database_url=clean.database_url)
    await migrate(settings, "dispatcher", "services.dispatcher.persistence")
    connection = await epoch.connect(settings)
    begun = await epoch.begin(connection)
    assert begun is not None
    try:
        async with epoch.open_epoch_pool(settings, begun.number) as pool, pool.acquire() as one:
            await one.execute(fill, BATCH)
            async with one.transaction():
                assert len(await read(cast("Pool", one))) == rows
                found = await one.fetchval(
                    "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables "
                    "WHERE schemaname = 'dispatcher' AND relname IN ('pages', 'retries')"
                )
            assert rows <= found <= 2 * rows
    finally:
        await connection.close()
