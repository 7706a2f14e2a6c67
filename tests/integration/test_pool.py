"""Connection pools: nobody waits for a connection for ever, least of all who holds one already."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from devstack import Servers
from services.ingest.domain.ingest_error import IngestError
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import WorkloadRegistry
from shared.postgres import pool as pool_module
from shared.postgres.pool import Pool, open_pool
from shared.runtime.settings import Settings
from shared.runtime.transient import is_transient
from tests.support.patience import PATIENCE_S


@pytest.fixture
async def pool(clean: Servers) -> AsyncIterator[Pool]:
    """Return a pool of one connection."""
    settings = Settings(database_url=clean.database_url, database_pool=1)
    opened = await open_pool(settings, "ingest", "services.ingest.persistence")
    yield opened
    await opened.close()


async def test_a_connection_that_does_not_come_free_is_a_transient_error(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "ACQUIRE_TIMEOUT_S", 0.1)
    async with pool.acquire(), asyncio.timeout(PATIENCE_S):
        with pytest.raises(TimeoutError) as raised:
            await pool.fetchval("SELECT 1")
    assert is_transient(raised.value)
    assert await pool.fetchval("SELECT 1") == 1


async def test_a_transaction_looks_up_workloads_without_a_second_connection(pool: Pool) -> None:
    registry = WorkloadRegistry(pool)
    async with asyncio.timeout(PATIENCE_S / 2), BatchStore(pool).lock(uuid4(), "ann") as locked:
        with pytest.raises(IngestError, match="No worker has announced"):
            await registry.get("unknown", locked.connection)
