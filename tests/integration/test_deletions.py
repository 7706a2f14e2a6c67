"""Rows are deleted in lots that shrink when they take too long, and counted once each, whatever is interrupted."""

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from devstack import Servers
from shared.postgres.deletions import Deletion, Deletions, LotSize
from shared.postgres.pool import Pool, open_pool
from shared.runtime.settings import Settings

ONE, TWO = uuid.UUID(int=1), uuid.UUID(int=2)
LOT = "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE key = $1 ORDER BY n LIMIT $2))"
SLOW = LOT + " AND pg_sleep(0.01) IS NOT NULL"


@pytest.fixture
async def pool(clean: Servers) -> AsyncIterator[Pool]:
    opened = await open_pool(Settings(database_url=clean.database_url), "notifier", "services.notifier.persistence")
    for table in ("first", "second"):
        await opened.execute(f"DROP TABLE IF EXISTS {table}")
        await opened.execute(f"CREATE TABLE {table} (key uuid, n int, PRIMARY KEY (key, n))")
    yield opened
    await opened.close()


async def fill(pool: Pool, table: str, key: uuid.UUID, rows: int) -> None:
    await pool.execute(f"INSERT INTO {table} SELECT $1, n FROM generate_series(1, $2) AS n", key, rows)


class Ends:
    """Deletions that have ended; `failing` of them fail to be told first."""

    def __init__(self) -> None:
        self.seen: list[Deletion] = []
        self.failing = 0

    async def record(self, deletion: Deletion) -> None:
        if self.failing:
            self.failing -= 1
            raise ConnectionError("the broker is away")
        self.seen.append(deletion)


def deletions(
    pool: Pool, ends: Ends, statement: str = LOT, *, most_rows: int = 100, statement_s: float = 30.0
) -> Deletions:
    plans = {"all": [(table, statement.format(table=table)) for table in ("first", "second")], "nothing": []}
    return Deletions(pool, plans, ends.record, most_rows=most_rows, statement_s=statement_s)


async def count(pool: Pool, table: str, key: uuid.UUID) -> int:
    return int(await pool.fetchval(f"SELECT count(*) FROM {table} WHERE key = $1", key))


async def test_all_rows_of_a_key_are_deleted_in_bounded_lots_and_no_others(pool: Pool) -> None:
    ends = Ends()
    for table, rows in (("first", 250), ("second", 30)):
        await fill(pool, table, ONE, rows)
        await fill(pool, table, TWO, 7)
    running = deletions(pool, ends)
    await running.request([ONE], "all")
    left = []
    while await running.update() is not None:
        left.append(await count(pool, "first", ONE))
    assert left[:3] == [150, 50, 0], "no lot has more than a hundred"
    assert ends.seen == [Deletion(ONE, "all", {"first": 250, "second": 30})]
    assert [await count(pool, table, TWO) for table in ("first", "second")] == [7, 7]


async def test_a_deletion_goes_on_after_a_crash_with_the_numbers_so_far(pool: Pool) -> None:
    ends = Ends()
    await fill(pool, "first", ONE, 250)
    for _ in range(2):  # each time by another process
        crashed = deletions(pool, ends)
        await crashed.request([ONE], "all")
        await crashed.update()
    ends.failing = 1
    with pytest.raises(ConnectionError):
        await _until_idle(crashed)
    after = deletions(pool, ends)
    while await after.update() is not None:
        pass
    assert ends.seen == [Deletion(ONE, "all", {"first": 250})]


async def test_a_lot_that_takes_too_long_is_halved_until_it_does_not(pool: Pool) -> None:
    ends = Ends()
    await fill(pool, "first", ONE, 100)
    running = deletions(pool, ends, SLOW, statement_s=0.5)  # a hundred rows take a second
    await running.request([ONE], "all")
    await running.update()
    assert (running.lot.rows, await count(pool, "first", ONE)) == (50, 100), "nothing of the lot is deleted"
    while await running.update() is not None:
        pass
    assert ends.seen == [Deletion(ONE, "all", {"first": 100})]


async def test_a_key_whose_rows_somebody_holds_is_postponed_and_others_go_on(pool: Pool) -> None:
    ends = Ends()
    for key in (ONE, TWO):
        await fill(pool, "first", key, 1)
    running = deletions(pool, ends, most_rows=1, statement_s=0.2)
    await running.request([ONE], "all")
    await running.request([TWO], "all")
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM first WHERE key = $1 FOR UPDATE", ONE)
        await _until_idle(running)
        assert ends.seen == [Deletion(TWO, "all", {"first": 1})]
    await pool.execute("UPDATE deletions SET due_at = now()")
    await _until_idle(running)
    assert [one.key for one in ends.seen] == [TWO, ONE]


async def test_a_defect_in_the_deletion_of_one_key_holds_no_other_up(pool: Pool) -> None:
    ends = Ends()
    await fill(pool, "first", TWO, 1)
    wrong = "SELECT 1 / ($2::int - $2::int) WHERE $1::uuid IS NOT NULL"
    plans = {"wrong": [("first", wrong)], "all": [("first", LOT.format(table="first"))]}
    running = Deletions(pool, plans, ends.record)
    await running.request([ONE], "wrong")
    await running.request([TWO], "all")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await running.update()
    await _until_idle(running)
    assert [one.key for one in ends.seen] == [TWO]


async def _until_idle(running: Deletions) -> None:
    while await running.update() is not None:
        pass


async def test_a_key_that_is_requested_twice_is_deleted_once(pool: Pool) -> None:
    ends = Ends()
    running = deletions(pool, ends)
    for _ in range(2):
        await running.request([ONE, TWO], "nothing")
    assert running.wake.is_set()
    await _until_idle(running)
    assert sorted(one.key for one in ends.seen) == [ONE, TWO]


def test_lots_shrink_by_half_and_grow_by_steps() -> None:
    lot = LotSize(100)
    assert [(lot.shrink(), lot.rows) for _ in range(8)][-2:] == [(False, 1), (False, 1)]
    for _ in range(200):
        lot.grow()
    assert lot.rows == 100
