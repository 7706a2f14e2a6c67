"""A dispatcher that has lost its lock writes nothing, not even by a statement in progress."""

import asyncio
import uuid

import asyncpg
import pytest

from devstack import Servers
from services.dispatcher.domain.retry_policy import Retry
from services.dispatcher.leadership import epoch
from services.dispatcher.persistence.lease_store import LeaseStore
from services.dispatcher.persistence.retry_store import RetryStore
from services.dispatcher.settings import DispatcherSettings
from shared.postgres.migrations import migrate
from tests.support.patience import PATIENCE_S

BATCH = uuid.UUID(int=7)


def _retry(ordinal: int) -> Retry:
    return Retry(BATCH, ordinal, 1, "", 1, 0, 0.0, b'{"ordinal":%d,"payload":{}}' % ordinal)


async def test_an_epoch_begins_after_the_writes_of_the_previous_one_and_refuses_later_ones(
    clean: Servers,
) -> None:
    settings = DispatcherSettings(database_url=clean.database_url)
    await migrate(settings, "dispatcher", "services.dispatcher.persistence")
    lock = await asyncpg.connect(clean.database_url)
    try:
        await lock.execute("DELETE FROM dispatcher.retries")
        first = await epoch.begin(lock)
        async with epoch.open_epoch_pool(settings, first) as old:
            await RetryStore(old).save_reopened([_retry(0)], [])
            async with old.acquire() as connection:
                under_way = connection.transaction()
                await under_way.start()
                await connection.execute("UPDATE retries SET waits = 1")
                beginning = asyncio.create_task(epoch.begin(lock))
                await _until_blocked(clean)
                assert not beginning.done()
                await under_way.commit()
                second = await beginning
            assert second == first + 1
            with pytest.raises(asyncpg.LockNotAvailableError, match="another dispatcher is active"):
                await RetryStore(old).save_reopened([_retry(1)], [])
            with pytest.raises(asyncpg.LockNotAvailableError):
                await LeaseStore(old).end([uuid.uuid4()])
            async with epoch.open_epoch_pool(settings, second) as new:
                await RetryStore(new).save_reopened([_retry(2)], [])
        rows = await lock.fetch("SELECT ordinal, waits FROM dispatcher.retries ORDER BY ordinal")
        assert [tuple(row) for row in rows] == [(0, 1), (2, 0)]
    finally:
        await lock.close()


async def _until_blocked(servers: Servers) -> None:
    """Until somebody waits for the fence."""
    watching = await asyncpg.connect(servers.database_url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted"
            while not await watching.fetchval(waiting, epoch.FENCE_LOCK):  # noqa: ASYNC110  the server cannot tell
                await asyncio.sleep(0.01)
    finally:
        await watching.close()
