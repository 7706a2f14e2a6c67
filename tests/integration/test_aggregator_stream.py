"""Tests of the ledger's streams of results: they continue by cursor, miss nothing and repeat nothing."""

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any
from uuid import uuid4

import pytest

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.queries import FailuresQuery, FailuresReply, StreamOrder, StreamPage, StreamQuery
from batchyard_contracts.v1.values import ItemError, ItemResult
from devstack import Servers
from services.aggregator.app import SESSION
from shared.postgres.queries import load_queries
from tests.support.ledger_messages import BATCH, accepted, controlled, processed, sealed, settled
from tests.support.running_aggregator import Neighbours, at_work

PACKAGE = "services.aggregator.persistence"
ORDERS: tuple[StreamOrder, ...] = ("ordinal", "completion")


def query(**fields: Any) -> StreamQuery:
    return StreamQuery.model_validate({"owner": "ann", "batch_id": BATCH} | fields)


async def page(around: Neighbours, **fields: Any) -> StreamPage:
    return await around.query(query(**fields), StreamPage)


async def read(around: Neighbours, **fields: Any) -> list[ItemResult]:
    """Read all that is recorded after a cursor, page by page."""
    found: list[ItemResult] = []
    while True:
        next_page = await page(around, **fields)
        found += next_page.items
        fields["cursor"] = next_page.cursor
        if not next_page.has_more:
            return found


def ordinals(items: Sequence[ItemResult]) -> list[int]:
    return [item.ordinal for item in items]


def failure(ordinal: int, code: str = "bad") -> ItemOutcome:
    return ItemOutcome(ordinal=ordinal, status="failed", error=ItemError(code=code))


async def report(around: Neighbours, *statuses: dict[int, Any], round_: int = 1) -> None:
    """Have each report recorded before the next one is sent."""
    for one in statuses:
        await around.send(processed(one, round_=round_))
        await around.recorded()


async def test_outcomes_come_in_the_order_of_completion(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(None))
        await report(around, {7: "succeeded"}, {3: "succeeded", 1: "failed"}, {0: "succeeded"})
        found = await read(around, order="completion")
        assert sorted(ordinals(found[1:3])) == [1, 3]
        assert (found[0].ordinal, found[3].ordinal) == (7, 0)
        assert len({item.cursor for item in found}) == 4
        running = await page(around, order="completion", cursor=found[-1].cursor)
        assert (running.items, running.has_more, running.has_ended, running.cursor) == (
            [],
            False,
            False,
            found[-1].cursor,
        )
        await report(around, {2: "succeeded", 4: "succeeded", 5: "succeeded", 6: "cancelled"})
        await around.send(sealed(8))
        await around.finished()
        for place, item in enumerate(found):
            rest = await read(around, order="completion", cursor=item.cursor, max_items=2)
            assert sorted(ordinals(found[: place + 1]) + ordinals(rest)) == list(range(8))
            assert rest[: len(found) - place - 1] == found[place + 1 :]
        end = await page(around, order="completion", cursor=found[-1].cursor)
        assert (end.has_more, end.has_ended) == (False, True)


async def test_outcomes_by_ordinal_wait_for_those_before_them(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(6))
        await report(around, {1: "succeeded", 2: "succeeded", 5: "succeeded"})
        assert ordinals(await read(around)) == [1, 2, 5]
        waiting = await page(around, without_gaps=True)
        assert (waiting.items, waiting.cursor, waiting.has_more, waiting.has_ended) == ([], "o-1", False, False)
        await report(around, {0: "failed"})
        assert ordinals(await read(around, without_gaps=True, max_items=2)) == [0, 1, 2]
        assert ordinals(await read(around, without_gaps=True, status="failed")) == [0]
        assert (await page(around, without_gaps=True, status="failed")).cursor == "o2"
        await around.send(processed({4: "succeeded", 3: "succeeded"}))
        await around.finished()
        assert ordinals(await read(around, without_gaps=True, cursor="o2")) == [3, 4, 5]


@pytest.mark.parametrize("order", ORDERS)
async def test_a_stream_is_filtered(clean: Servers, order: StreamOrder) -> None:
    async with at_work(clean) as around:
        given: dict[int, Any] = {n: ItemOutcome(ordinal=n, status="succeeded", custom_id=f"c{n}") for n in range(240)}
        given |= {n: failure(n, "bad" if n % 2 else "worse") for n in range(240, 250)}
        await around.send(accepted(251), processed(given), settled("duplicate", [250]))
        await around.finished()
        (group, _) = (await around.query(FailuresQuery(owner="ann", batch_id=BATCH), FailuresReply)).groups
        cases: list[tuple[dict[str, Any], list[int]]] = [
            ({"status": "duplicate"}, [250]),
            ({"error_code": "bad"}, [241, 243, 245, 247, 249]),
            ({"cause": group.cause}, [n for n in range(240, 250) if (n % 2 == 1) == (group.code == "bad")]),
            ({"custom_id": "c77"}, [77]),
            ({"custom_id": "c77", "status": "failed"}, []),
            ({"round": 1}, list(range(251))),
            ({"round": 2}, []),
        ]
        for filters, wanted in cases:
            found = await read(around, order=order, max_items=3 if len(wanted) < 9 else 100, **filters)
            assert sorted(ordinals(found)) == wanted, filters


@pytest.mark.parametrize("order", ORDERS)
async def test_earlier_rounds_stay_readable(clean: Servers, order: StreamOrder) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(4), processed({0: "succeeded", 1: failure(1), 2: failure(2), 3: "succeeded"}))
        await around.finished()
        group = (await around.query(FailuresQuery(owner="ann", batch_id=BATCH), FailuresReply)).groups[0]
        first = await read(around, order=order)
        await around.send(controlled("retry", 1))
        await around.until_row("SELECT 1 FROM batches WHERE round = 2")
        await around.send(processed({1: "succeeded", 2: failure(2, "worse")}, round_=2))
        await around.finished(2)
        await around.send(controlled("retry", 2))
        await around.until_row("SELECT 1 FROM batches WHERE round = 3")
        assert not (await page(around, order=order)).has_ended
        assert (await page(around, order=order, round=2)).has_ended
        await around.send(processed({2: "succeeded"}, round_=3))
        await around.finished(3)

        assert await read(around, order=order, round=1, max_items=2) == first
        assert [(item.ordinal, item.error and item.error.code) for item in first if item.error] == [
            (1, "bad"),
            (2, "bad"),
        ]
        second = await read(around, order=order, round=2, max_items=1)
        assert [(item.ordinal, item.status) for item in second] == [(1, "succeeded"), (2, "failed")]
        assert ordinals(await read(around, order=order, round=1, cause=group.cause)) == [1, 2]
        assert ordinals(await read(around, order=order, round=3)) == [2]
        now = await read(around, order=order, max_items=2)
        assert sorted((item.ordinal, item.round) for item in now) == [(0, 1), (1, 2), (2, 3), (3, 1)]
        assert {item.status for item in now} == {"succeeded"}


async def test_reports_that_arrive_again_are_not_repeated(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(None))
        await report(around, {0: "succeeded"}, {0: "succeeded", 1: "succeeded"}, {1: "failed", 2: "failed"})
        assert ordinals(await read(around, order="completion")) == [0, 1, 2]
        many = dict.fromkeys(range(150), "succeeded")
        await report(around, many, many)
        found = await read(around, order="completion", max_items=100)
        assert ordinals(found)[:3] == [0, 1, 2]
        assert sorted(ordinals(found)) == list(range(150))


async def test_large_results_are_cut_into_pages(clean: Servers) -> None:
    async with at_work(clean) as around:
        big = {n: ItemOutcome(ordinal=n, status="succeeded", result="x" * 700_000) for n in range(4)}
        await around.send(accepted(5), *[processed({n: one}) for n, one in big.items()])
        huge = ItemOutcome(ordinal=4, status="succeeded", result="y" * 3_100_000)
        await around.send(processed({4: huge}))
        await around.finished()
        for order in ORDERS:
            first = await page(around, order=order)
            assert (len(first.items), first.has_more) == (2, True)
            assert sorted(ordinals(await read(around, order=order))) == [0, 1, 2, 3, 4]


async def test_filters_that_select_few_read_a_bounded_part(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(None))
        await around.until_row("SELECT 1 FROM batches WHERE owner = 'ann'")
        key = (await around.rows("SELECT id FROM batches WHERE owner = 'ann'"))[0]["id"]
        await around.execute(
            "INSERT INTO outcomes (batch, ordinal, round, attempts, cached, status) "
            "SELECT $1, n, 1, 1, false, CASE n WHEN 49000 THEN 'failed' ELSE 'succeeded' END "
            "FROM generate_series(0, 49999) AS n",
            key,
        )
        await around.execute(
            "INSERT INTO completions (batch, version, round, ordinals) SELECT $1, n, 1, ARRAY(SELECT n * 500 + m "
            "FROM generate_series(0, 499) AS m) FROM generate_series(0, 99) AS n",
            key,
        )
        for order in ORDERS:
            followed = {"order": order, "status": "failed", "without_gaps": True}
            first = await page(around, **followed)
            assert (first.items, first.has_more) == ([], True)
            assert ordinals(await read(around, **followed)) == [49_000]


async def test_a_page_of_rare_failures_is_found_among_many_outcomes_at_once(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(50_000))
        await around.until_row("SELECT 1 FROM batches WHERE owner = 'ann'")
        await around.execute(
            "INSERT INTO outcomes (batch, ordinal, round, attempts, cached, status) "
            "SELECT id, n, 1, 1, false, CASE WHEN n IN (7, 49999) THEN 'failed' ELSE 'succeeded' END "
            "FROM batches, generate_series(0, 49999) AS n"
        )
        failed = await page(around, status="failed")
        assert (ordinals(failed.items), failed.has_more) == ([7, 49_999], False)
        first = await page(around, status="failed", max_items=1)
        assert (ordinals(first.items), first.has_more) == ([7], True)
        assert ordinals((await page(around, status="failed", cursor=first.cursor)).items) == [49_999]
        assert (await page(around, status="failed", cursor=failed.cursor)).cursor == failed.cursor


@pytest.mark.parametrize("name", ["by_ordinal", "by_completion"])
async def test_a_page_costs_the_same_wherever_it_begins(clean: Servers, name: str) -> None:
    async with at_work(clean) as around:
        for setting, value in SESSION.items():
            await around.execute(f"SET {setting} = {value}")
        await around.execute(
            "INSERT INTO outcomes (batch, ordinal, round, attempts, cached, status) "
            "SELECT 7, n, 1, 1, false, 'succeeded' FROM generate_series(0, 99999) AS n"
        )
        await around.execute(
            "INSERT INTO completions (batch, version, round, ordinals) SELECT 7, n, 1, ARRAY(SELECT n * 100 + m "
            "FROM generate_series(0, 99) AS m) FROM generate_series(0, 999) AS n"
        )

        async def blocks(*place: object) -> int:
            """Return the number of blocks that a page of 100 outcomes reads."""
            statement = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {load_queries(PACKAGE, 'stream.sql')[name]}"
            rows = await around.rows(statement, 7, *place, 100, 100, 1_000_000, *(None,) * 5, False)
            (plan,) = json.loads(rows[0]["QUERY PLAN"])
            return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])

        places: list[tuple[Any, ...]] = (
            [(-1, True), (50_000, True)] if name == "by_ordinal" else [(-(2**31), 0), (500, 50)]
        )
        first, middle = [await blocks(*place) for place in places]
        assert middle < 2 * first
        assert first < 1000, "a few blocks for each of 100 outcomes"


async def test_outcomes_that_were_recorded_before_the_order_was_kept_are_read(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(4), processed({0: "succeeded", 1: failure(1), 2: "succeeded", 3: "succeeded"}))
        await around.finished()
        await around.send(controlled("retry", 1))
        await around.until_row("SELECT 1 FROM batches WHERE round = 2")
        await around.execute("DELETE FROM completions")
        (file,) = [one for one in (files(PACKAGE) / "migrations").iterdir() if "completions" in one.name]
        (fill,) = [part for part in file.read_text("utf-8").split(";\n") if "INSERT INTO completions" in part]
        await around.execute(fill)
        found = await read(around, order="completion")
        assert ordinals(found) == [0, 2, 3]
        await around.send(processed({1: "succeeded"}, round_=2))
        await around.finished(2)
        assert ordinals(await read(around, order="completion", cursor=found[-1].cursor)) == [1]


async def test_a_batch_of_another_owner_is_not_found(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(1), processed({0: "succeeded"}))
        await around.finished()
        assert not (await page(around, owner="eve")).found
        assert not (await page(around, batch_id=uuid4())).found
        assert (await page(around)).found
