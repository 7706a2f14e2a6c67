"""One dispatcher is active, by a timed lease. After it has ended, not even a statement in progress writes anything."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from devstack import Servers
from services.dispatcher.domain.retry_policy import Retry
from services.dispatcher.leadership import epoch, lease_keeper
from services.dispatcher.leadership.epoch import LEASE_S, Connection, Epoch
from services.dispatcher.leadership.lease_keeper import LeaseEnded, LeaseKeeper
from services.dispatcher.persistence.lease_store import LeaseStore
from services.dispatcher.persistence.retry_store import RetryStore
from services.dispatcher.settings import DispatcherSettings
from shared.postgres.migrations import migrate
from shared.runtime.transient import is_transient
from tests.support.patience import PATIENCE_S

BATCH = uuid.UUID(int=7)
END_LEASE = "UPDATE dispatcher.tenure SET expires_at = now() - interval '1 second'"


@pytest.fixture
async def settings(clean: Servers) -> DispatcherSettings:
    found = DispatcherSettings(database_url=clean.database_url)
    await migrate(found, "dispatcher", "services.dispatcher.persistence")
    return found


@pytest.fixture
async def connection(settings: DispatcherSettings) -> AsyncIterator[Connection]:
    """The connection of a dispatcher that stands by."""
    opened = await epoch.connect(settings)
    try:
        yield opened
    finally:
        await opened.close()


def _retry(ordinal: int) -> Retry:
    return Retry(BATCH, ordinal, 1, "", 1, 0, 0.0, b'{"ordinal":%d,"payload":{}}' % ordinal)


async def _begin(connection: Connection) -> Epoch:
    begun = await epoch.begin(connection)
    assert begun
    return begun


async def test_an_epoch_undoes_the_writes_in_progress_of_a_frozen_dispatcher_and_refuses_later_ones(
    settings: DispatcherSettings, connection: Connection
) -> None:
    first = (await _begin(connection)).number
    async with epoch.open_epoch_pool(settings, first) as old:
        await RetryStore(old).save_reopened([_retry(0)], [])
        async with old.acquire() as frozen:
            await frozen.execute("BEGIN")
            await frozen.execute("UPDATE retries SET waits = 1")
            await connection.execute(END_LEASE)
            second = (await _begin(connection)).number
            ways = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
            with pytest.raises(ways) as undone:
                await frozen.execute("COMMIT")
            assert is_transient(undone.value)
        assert second == first + 1
        with pytest.raises(asyncpg.LockNotAvailableError, match="another dispatcher is active"):
            await RetryStore(old).save_reopened([_retry(1)], [])
        with pytest.raises(asyncpg.LockNotAvailableError):
            await LeaseStore(old).end([uuid.uuid4()])
        async with epoch.open_epoch_pool(settings, second) as new:
            await RetryStore(new).save_reopened([_retry(2)], [])
    rows = await connection.fetch("SELECT ordinal, waits FROM dispatcher.retries ORDER BY ordinal")
    assert [tuple(row) for row in rows] == [(0, 0), (2, 0)]


async def test_every_table_of_the_dispatcher_refuses_the_writes_of_an_earlier_epoch(connection: Connection) -> None:
    tables = await connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'dispatcher' AND tablename NOT IN ('migrations', 'tenure')"
    )
    fenced = await connection.fetch("SELECT tgrelid::regclass::text AS name FROM pg_trigger WHERE tgname = 'fence'")
    assert {row["tablename"] for row in tables} == {row["name"] for row in fenced}


async def test_nobody_takes_a_lease_that_is_held(connection: Connection) -> None:
    assert await epoch.lease_state(connection) == "released"
    first = await _begin(connection)
    assert await epoch.lease_state(connection) == "held"
    assert await epoch.begin(connection) is None
    assert await epoch.renew(connection, first.number)
    await epoch.release(connection, first.number)
    assert await epoch.lease_state(connection) == "released"
    assert (await _begin(connection)).number == first.number + 1
    assert not await epoch.renew(connection, first.number)


@pytest.mark.parametrize("shift", ["- interval '1 second'", "+ interval '1 hour'"], ids=["ended", "clock set back"])
async def test_a_lease_that_has_ended_is_taken_even_after_the_clock_was_set_back(
    connection: Connection, shift: str
) -> None:
    first = await _begin(connection)
    await connection.execute(f"UPDATE dispatcher.tenure SET expires_at = now() {shift}")
    assert await epoch.lease_state(connection) == "ended"
    assert (await _begin(connection)).number == first.number + 1


async def test_a_busy_event_loop_does_not_lose_the_lease(settings: DispatcherSettings, connection: Connection) -> None:
    keeper = LeaseKeeper(settings, await _begin(connection))
    async with keeper.renewing():
        until = time.monotonic() + 1.5 * LEASE_S
        while time.monotonic() < until:
            sum(range(1000))  # holds the interpreter, as a computation would
        keeper.check()
        assert await epoch.lease_state(connection) == "held"
    assert not keeper.is_valid
    assert await epoch.lease_state(connection) == "released"


async def test_an_event_loop_that_stands_still_loses_the_lease(
    settings: DispatcherSettings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_keeper, "MAX_LOOP_BLOCK_S", 0.1)
    keeper = LeaseKeeper(settings, await _begin(connection))
    async with keeper.renewing():
        deadline = time.monotonic() + PATIENCE_S
        while keeper.is_valid and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: ASYNC251  the event loop stands still
        with pytest.raises(LeaseEnded) as ended:
            keeper.check()
        assert is_transient(ended.value)


async def test_a_holder_learns_of_a_later_epoch_at_once(settings: DispatcherSettings, connection: Connection) -> None:
    keeper = LeaseKeeper(settings, await _begin(connection))
    async with keeper.renewing():
        await connection.execute(END_LEASE)
        later = await epoch.begin(connection)
        if later is None:  # the renewal came first
            await connection.execute("UPDATE dispatcher.tenure SET number = number + 1")
        async with asyncio.timeout(PATIENCE_S):
            await keeper.lost.wait()
        assert not keeper.is_valid
    assert await epoch.lease_state(connection) == "held", "it releases no lease of another"
