"""Tests of the ledger's replies to queries."""

import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest

from batchyard_contracts.ids import uuid7
from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.queries import (
    BatchesQuery,
    BatchesReply,
    EndsQuery,
    EndsReply,
    FailuresQuery,
    FailuresReply,
    OutcomesQuery,
    OutcomesReply,
    ResultsPage,
    ResultsQuery,
    ResultsReply,
    SelectionQuery,
    SelectionReply,
)
from batchyard_contracts.v1.values import ItemError
from devstack import Servers
from services.aggregator.app import SESSION
from services.aggregator.handlers.queries import QueryHandler
from shared.runtime.errors import NotPermitted
from tests.support.ledger_messages import BATCH, START, accepted, at, processed, sealed, settled
from tests.support.running_aggregator import Neighbours, at_work


def failure(ordinal: int, code: str, message: str = "") -> ItemOutcome:
    return ItemOutcome(ordinal=ordinal, status="failed", error=ItemError(code=code, message=message))


async def pages(around: Neighbours, query: ResultsQuery) -> list[ResultsReply]:
    found = [await around.query(query, ResultsReply)]
    while (after := found[-1].next_after) is not None:
        found.append(await around.query(query.model_copy(update={"after": after}), ResultsReply))
    return found


async def test_results_are_paged_and_filtered(clean: Servers) -> None:
    async with at_work(clean) as around:
        outcomes = {
            n: ItemOutcome(
                ordinal=n, status="succeeded", custom_id=f"c{n}", result={"n": n, "nul": "\x00"}, cached=n == 1
            )
            for n in range(250)
        }
        outcomes |= {n: failure(n, "bad" if n % 2 else "worse", 'say "no"') for n in range(250, 260)}
        await around.send(accepted(261), processed(outcomes, attempt=2), settled("duplicate", [260]))
        await around.finished()
        found = await pages(around, ResultsQuery(owner="ann", batch_id=BATCH, limit=100))
        assert [len(page.items) for page in found] == [100, 100, 61]
        items = [item for page in found for item in page.items]
        assert [item.ordinal for item in items] == list(range(261))
        assert items[1].model_dump(exclude_none=True) == {
            "ordinal": 1,
            "custom_id": "c1",
            "status": "succeeded",
            "round": 1,
            "attempts": 2,
            "result": {"n": 1, "nul": "\x00"},
            "elapsed_ms": 0,
            "cached": True,
        }
        assert items[251].error == ItemError(code="bad", message='say "no"')

        exact = await pages(around, ResultsQuery(owner="ann", batch_id=BATCH, limit=261))
        assert [len(page.items) for page in exact] == [261]
        bad = await pages(around, ResultsQuery(owner="ann", batch_id=BATCH, error_code="bad", limit=2))
        assert [item.ordinal for page in bad for item in page.items] == [251, 253, 255, 257, 259]
        by_status = {
            status: [item.ordinal for page in await pages(around, query) for item in page.items]
            for status in ("succeeded", "failed", "duplicate", "expired")
            if (query := ResultsQuery(owner="ann", batch_id=BATCH, status=status))
        }
        assert by_status == {
            "succeeded": list(range(250)),
            "failed": list(range(250, 260)),
            "duplicate": [260],
            "expired": [],
        }
        after = await around.query(ResultsQuery(owner="ann", batch_id=BATCH, after=260), ResultsReply)
        assert (after.found, after.items, after.next_after) == (True, [], None)


async def test_pages_of_large_results_are_short(clean: Servers) -> None:
    async with at_work(clean) as around:
        big = "x" * 700_000
        for n in range(6):
            await around.send(processed({n: ItemOutcome(ordinal=n, status="succeeded", result=big)}))
        huge = ItemOutcome(ordinal=6, status="succeeded", result="y" * 3_100_000)
        await around.send(processed({6: huge}), accepted(8), processed({7: failure(7, "bad")}))
        await around.finished()
        found = await pages(around, ResultsQuery(owner="ann", batch_id=BATCH))
        assert [[item.ordinal for item in page.items] for page in found] == [[0, 1], [2, 3], [4, 5], [6], [7]]
        assert all(item.result == big for page in found[:3] for item in page.items)
        assert found[3].items[0].result == huge.result


async def test_a_large_page_has_the_outcomes_of_many_small_ones(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(3001))
        for first in range(0, 3000, 1000):
            rows = {n: ItemOutcome(ordinal=n, status="succeeded", result=n) for n in range(first, first + 1000)}
            rows[first] = failure(first, "bad")
            await around.send(processed(rows))
        await around.send(settled("duplicate", [3000]))
        await around.finished()
        small = await pages(around, ResultsQuery(owner="ann", batch_id=BATCH, limit=700))
        large = await around.query(ResultsQuery(owner="ann", batch_id=BATCH, max_items=10_000), ResultsPage)
        assert large.next_after is None
        assert large.items == [item for page in small for item in page.items]
        part = await around.query(ResultsQuery(owner="ann", batch_id=BATCH, after=9, max_items=1500), ResultsPage)
        assert (part.items, part.next_after) == (large.items[10:1510], 1509)
        unknown = await around.query(ResultsQuery(owner="eve", batch_id=BATCH, max_items=1500), ResultsPage)
        assert not unknown.found


@pytest.mark.parametrize(
    ("filters", "ordinals", "next_after"),
    [
        ({"skip": 5}, [5, 6], 6),
        ({"skip": 5, "after": 9}, [15, 16], 16),
        ({"skip": 18}, [18, 19], None),
        ({"skip": 19}, [19], None),
        ({"skip": 20}, [], None),
        ({"skip": 3, "status": "failed"}, [13, 14], 14),
        ({"skip": 2, "error_code": "bad"}, [15, 17], 17),
        ({"skip": 9, "max_items": 2}, [9, 10], 10),
    ],
)
async def test_a_page_begins_behind_the_outcomes_that_are_passed_over(
    clean: Servers, filters: dict[str, Any], ordinals: list[int], next_after: int | None
) -> None:
    async with at_work(clean) as around:
        outcomes = {n: ItemOutcome(ordinal=n, status="succeeded", result=n) for n in range(10)}
        outcomes |= {n: failure(n, "bad" if n % 2 else "worse") for n in range(10, 20)}
        await around.send(accepted(20), processed(outcomes))
        await around.finished()
        query = ResultsQuery.model_validate({"owner": "ann", "batch_id": BATCH, "limit": 2} | filters)
        page = await around.query(query, ResultsPage if query.max_items else ResultsReply)
        assert ([item.ordinal for item in page.items], page.next_after) == (ordinals, next_after)


async def test_the_outcomes_of_a_cause_are_passed_over_too(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(20), processed({n: failure(n, "bad" if n % 2 else "worse") for n in range(20)}))
        await around.finished()
        failures = await around.query(FailuresQuery(owner="ann", batch_id=BATCH), FailuresReply)
        cause = next(group.cause for group in failures.groups if group.code == "bad")
        page = await around.query(ResultsQuery(owner="ann", batch_id=BATCH, cause=cause, skip=8), ResultsReply)
        assert [item.ordinal for item in page.items] == [17, 19]


@pytest.mark.parametrize("filters", [(None, None, None, False), (None, "bad", None, True), (None, None, "c", True)])
async def test_a_page_of_a_batch_that_the_statistics_do_not_know_reads_its_rows_alone(
    clean: Servers, filters: tuple[str | None, str | None, str | None, bool]
) -> None:
    """Otherwise each page sorts the rest of the batch, and a million results take time by the square."""
    async with at_work(clean) as around:
        await around.execute(
            """INSERT INTO outcomes (batch, ordinal, round, attempts, cached, status, error_code, result)
            SELECT 7, n, 1, 1, false, CASE WHEN n % 2 = 0 THEN 'succeeded' ELSE 'failed' END, 'bad', 'null'
            FROM generate_series(0, 39999) AS n"""
        )
        await around.execute("INSERT INTO failures SELECT batch, ordinal, 'c' FROM outcomes WHERE status = 'failed'")
        session = {"search_path": "aggregator", **SESSION}
        connection = await asyncpg.connect(clean.database_url, server_settings=session)
        try:
            async with connection.transaction():
                page = "SELECT count(*) FROM result_page(7, 9999, 500, 1500000, $1, $2, $3, $4)"
                assert await connection.fetchval(page, *filters) == 501
                read = await connection.fetch(
                    "SELECT seq_tup_read + idx_tup_fetch AS rows FROM pg_stat_xact_user_tables "
                    "WHERE schemaname = 'aggregator' AND relname IN ('outcomes', 'failures')"
                )
                assert 501 <= sum(row["rows"] for row in read) <= 3 * 501
        finally:
            await connection.close()


async def test_a_hundred_results_cost_less_than_twenty_answers_with_one(clean: Servers) -> None:
    async with at_work(clean) as around:
        outcomes = {n: ItemOutcome(ordinal=n, status="succeeded", result={"text": "x" * 2000}) for n in range(100)}
        await around.send(accepted(100), processed(outcomes))
        await around.finished()
        one, hundred = (ResultsQuery(owner="ann", batch_id=BATCH, limit=limit) for limit in (1, 100))
        times: dict[int, list[float]] = {1: [], 100: []}
        for _ in range(20):
            for query in (one, hundred):  # in turn, so that what else the machine does befalls both
                start = time.perf_counter()
                reply = await around.query(query, ResultsReply)
                times[query.limit].append(time.perf_counter() - start)
                assert len(reply.items) == query.limit
        assert statistics.median(times[100]) < 20 * statistics.median(times[1])


async def test_failures_are_grouped_by_cause(clean: Servers) -> None:
    async with at_work(clean) as around:
        outcomes = {n: failure(n, "not_found", f"no page {n}") for n in range(20)}
        outcomes |= {n: failure(n, "blocked", "please\x00wait") for n in range(20, 23)}
        outcomes |= {23: ItemOutcome(ordinal=23, status="succeeded")}
        await around.send(accepted(30), processed(outcomes), settled("expired", [24, 25]), settled("cancelled", [26]))
        await around.send(settled("duplicate", [27, 28, 29]))
        await around.finished()
        reply = await around.query(FailuresQuery(owner="ann", batch_id=BATCH), FailuresReply)
        assert [(group.code, group.count, group.message, group.ordinals) for group in reply.groups] == [
            ("not_found", 20, "no page 0", list(range(10))),
            ("blocked", 3, "please wait", [20, 21, 22]),
            ("expired", 2, "", [24, 25]),
        ]
        assert [(group.partition, group.retryable) for group in reply.groups] == [
            ("p", False),
            ("p", False),
            ("", True),
        ]
        assert len({group.cause for group in reply.groups}) == 3


async def test_repeated_failures_count_once(clean: Servers) -> None:
    async with at_work(clean) as around:
        report = processed({n: failure(n, "not_found", f"no page {n}") for n in range(20)})
        other = processed({n: failure(n, "blocked", "wait") for n in range(15, 25)})
        await around.send(accepted(25), report, report)
        await around.send(other, report, other)
        await around.finished()
        await around.recorded()
        reply = await around.query(FailuresQuery(owner="ann", batch_id=BATCH), FailuresReply)
        assert [(group.code, group.count) for group in reply.groups] == [("not_found", 20), ("blocked", 5)]


async def test_a_selection_filters_by_each_field(clean: Servers) -> None:
    async with at_work(clean) as around:
        outcomes = {n: failure(n, "not_found", f"no page {n}") for n in range(4)}
        await around.send(accepted(12), processed(outcomes, partition="a"))
        await around.send(processed({4: failure(4, "not_found", "no page 4"), 5: failure(5, "blocked")}, partition="b"))
        await around.send(processed({6: ItemOutcome(ordinal=6, status="failed", custom_id="six")}, partition="b"))
        await around.send(settled("expired", [7]), settled("cancelled", [8, 9]), settled("duplicate", [10]))
        await around.send(processed({11: "succeeded"}))
        await around.finished()
        groups = (await around.query(FailuresQuery(owner="ann", batch_id=BATCH), FailuresReply)).groups

        async def chosen(**select: object) -> list[int]:
            query = {"owner": "ann", "batch_id": BATCH, "select": select or None, "count": True}
            reply = await around.query(SelectionQuery.model_validate(query), SelectionReply)
            assert (reply.found, reply.count, reply.next_after) == (True, len(reply.ordinals), None)
            return reply.ordinals

        assert await chosen() == list(range(10))
        assert await chosen(codes=["not_found"]) == [0, 1, 2, 3, 4]
        assert await chosen(partitions=["b"]) == [4, 5, 6]
        assert await chosen(partitions=["b\x00"]) == [4, 5, 6], "as the name of a partition is stored"
        assert await chosen(partitions=["b"], codes=["not_found", "blocked"]) == [4, 5]
        assert await chosen(causes=[groups[0].cause]) == [0, 1, 2, 3]
        assert await chosen(statuses=["expired", "cancelled"]) == [7, 8, 9]
        assert await chosen(ordinals=[3, 9, 11], custom_ids=["six"]) == [3, 6, 9]
        assert await chosen(ordinals=[3, 9], statuses=["failed"]) == [3]
        assert await chosen(codes=["unheard_of"]) == []
        page = await around.query(SelectionQuery(owner="ann", batch_id=BATCH, after=3, limit=2), SelectionReply)
        assert (page.ordinals, page.next_after, page.count) == ([4, 5], 5, None)
        assert not (await around.query(SelectionQuery(owner="eve", batch_id=BATCH), SelectionReply)).found


async def test_items_that_need_a_review_are_selected_only_by_name(clean: Servers) -> None:
    """Their call may have been paid for: a plain retry must not make it again."""
    async with at_work(clean) as around:
        unclear = failure(0, "needs_review", "sent, and not answered").model_copy(update={"custom_id": "paid"})
        await around.send(accepted(2), processed({0: unclear, 1: failure(1, "not_found")}))
        await around.finished()
        (review,) = [
            group.cause
            for group in (await around.query(FailuresQuery(owner="ann", batch_id=BATCH), FailuresReply)).groups
            if group.code == "needs_review"
        ]

        async def chosen(**select: object) -> list[int]:
            query = {"owner": "ann", "batch_id": BATCH, "select": select or None}
            return (await around.query(SelectionQuery.model_validate(query), SelectionReply)).ordinals

        assert await chosen() == await chosen(statuses=["failed"]) == [1]
        for named in ({"codes": ["needs_review"]}, {"causes": [review]}, {"ordinals": [0]}, {"custom_ids": ["paid"]}):
            assert await chosen(**named) == [0]


async def test_queries_do_not_show_batches_of_other_owners(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(1), processed({0: failure(0, "bad")}))
        await around.finished()
        results = await around.query(ResultsQuery(owner="eve", batch_id=BATCH), ResultsReply)
        assert (results.found, results.items) == (False, [])
        failures = await around.query(FailuresQuery(owner="eve", batch_id=BATCH), FailuresReply)
        assert (failures.found, failures.groups) == (False, [])
        assert (await around.query(BatchesQuery(owner="eve"), BatchesReply)).batches == []
        assert (await around.query(BatchesQuery(owner="eve", batch_ids=[BATCH]), BatchesReply)).batches == []
        unknown = await around.query(ResultsQuery(owner="ann", batch_id=uuid4()), ResultsReply)
        assert not unknown.found


@pytest.fixture
def ids() -> list[UUID]:
    """Batch ids in the order of time."""
    return [UUID(f"0197a5b0-0000-7000-8000-{number:012x}") for number in range(6)]


async def test_services_list_the_batches_of_all_owners_and_clients_do_not(clean: Servers, ids: list[UUID]) -> None:
    async with at_work(clean) as around:
        await around.send(*(accepted(1, batch_id=one, owner=who) for one, who in zip(ids, "abcd", strict=False)))
        await around.until_row("SELECT 1 FROM batches WHERE owner IS NOT NULL HAVING count(*) = 4")
        query = BatchesQuery(owner="ann", all_owners=True, limit=3)
        found = (await around.query(query, BatchesReply)).batches
        assert [(batch.batch_id, batch.owner) for batch in found] == [(ids[n], "abcd"[n]) for n in (3, 2, 1)]
        older = query.model_copy(update={"before": found[-1].batch_id})
        assert [batch.owner for batch in (await around.query(older, BatchesReply)).batches] == ["a"]
    handler = QueryHandler(cast("Any", None), cast("Any", None), cast("Any", None))
    with pytest.raises(NotPermitted, match="operators"):
        await handler.on_batches_query(query, Envelope("", "", owner="ann"))


async def test_batches_are_listed_newest_first_and_filtered(clean: Servers, ids: list[UUID]) -> None:
    async with at_work(clean) as around:
        for number, batch_id in enumerate(ids):
            workload = "noop" if number < 4 else "tracklists"
            total = None if number == 3 else 2
            await around.send(accepted(total, batch_id=batch_id, workload=workload, labels={"n": str(number)}))
        await around.send(processed({0: "succeeded"}, batch_id=ids[5]), settled("expired", [0, 1], batch_id=ids[0]))
        await around.send(processed({0: "succeeded"}, batch_id=uuid4()))  # its header is not there yet
        await around.finished()
        await around.recorded()
        await around.until_row("SELECT 1 FROM batches WHERE owner = 'ann' HAVING count(*) = 6")

        async def listed(**fields: object) -> list[int]:
            query = BatchesQuery.model_validate({"owner": "ann"} | fields)
            return [ids.index(batch.batch_id) for batch in (await around.query(query, BatchesReply)).batches]

        assert await listed() == [5, 4, 3, 2, 1, 0]
        assert await listed(limit=2) == [5, 4]
        assert await listed(limit=2, before=ids[4]) == [3, 2]
        assert await listed(workload="tracklists") == [5, 4]
        assert await listed(status="finished") == [0]
        assert await listed(status="open") == [3]
        assert await listed(status="running", workload="noop") == [2, 1]
        assert await listed(batch_ids=[ids[1], ids[4], uuid4()]) == [4, 1]

        await around.send(sealed(1, ids[3]))
        (moving,) = (await around.query(BatchesQuery(owner="ann", batch_ids=[ids[5]]), BatchesReply)).batches
        assert (moving.status, moving.counts.succeeded, moving.counts.remaining) == ("running", 1, 1)
        assert (moving.labels, moving.priority, moving.result) == ({"n": "5"}, "normal", None)
        (ended,) = (await around.query(BatchesQuery(owner="ann", status="finished"), BatchesReply)).batches
        assert (ended.result, ended.finished_at is not None) == ("failed", True)


async def test_batches_are_in_the_order_of_acceptance_whatever_ids_clients_chose(clean: Servers) -> None:
    chosen = [UUID(f"{digit * 8}-0000-7000-8000-000000000000") for digit in "fa50c"]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    async with at_work(clean) as around:
        for number, batch_id in enumerate(chosen):
            at = start + timedelta(seconds=number // 2)  # some at one time
            await around.send(accepted(1, batch_id=batch_id, accepted_at=at, name=f"Night {number}"))
        await around.until_row("SELECT 1 FROM batches HAVING count(owner) = 5")
        wanted = [4, 2, 3, 0, 1]
        found: list[int] = []
        before = None
        while page := (await around.query(BatchesQuery(owner="ann", before=before, limit=2), BatchesReply)).batches:
            found += [chosen.index(batch.batch_id) for batch in page]
            before = page[-1].batch_id
        assert found == wanted
        oldest, after = list[int](), None
        query = BatchesQuery(owner="ann", limit=2, oldest_first=True)
        while page := (await around.query(query.model_copy(update={"after": after}), BatchesReply)).batches:
            oldest += [chosen.index(batch.batch_id) for batch in page]
            after = page[-1].batch_id
        assert oldest == wanted[::-1]
        newer = await around.query(BatchesQuery(owner="ann", after=chosen[3]), BatchesReply)
        assert [chosen.index(batch.batch_id) for batch in newer.batches] == [4, 2], "newer ones, the newest first"
        gone = uuid7(round((start + timedelta(seconds=0.5)).timestamp() * 1000), bytes(10))
        reply = await around.query(BatchesQuery(owner="ann", before=gone), BatchesReply)
        assert [chosen.index(batch.batch_id) for batch in reply.batches] == [0, 1]


async def test_batches_are_found_by_result_name_and_labels(clean: Servers) -> None:
    names = ["Night run", "Day run", None, "100% night"]
    async with at_work(clean) as around:
        ids = [uuid4() for _ in names]
        for number, (batch_id, name) in enumerate(zip(ids, names, strict=True)):
            labels = {"team": "search", "n": str(number)} if number else {}
            await around.send(accepted(1, batch_id=batch_id, name=name, labels=labels))
        await around.send(settled("expired", [0], batch_id=ids[1]), settled("cancelled", [0], batch_id=ids[2]))
        await around.until_row("SELECT 1 FROM batches WHERE result IS NOT NULL HAVING count(*) = 2")

        async def listed(**fields: object) -> set[int]:
            query = BatchesQuery.model_validate({"owner": "ann"} | fields)
            return {ids.index(batch.batch_id) for batch in (await around.query(query, BatchesReply)).batches}

        assert await listed(result="failed") == {1}
        assert await listed(result="cancelled", status="finished") == {2}
        assert await listed(name="NIGHT") == {0, 3}
        assert await listed(name="%") == {3}
        assert await listed(labels={"team": "search"}) == {1, 2, 3}
        assert await listed(labels={"team": "search", "n": "2"}) == {2}
        assert await listed(labels={"team": "searc"}) == set()
        assert await listed(statuses=["running"], results=["failed"]) == {0, 1, 3}
        assert await listed(statuses=["running", "finished"]) == {0, 1, 2, 3}
        assert await listed(results=["failed", "cancelled"]) == {1, 2}
        assert await listed(statuses=["paused"]) == set()
        assert await listed(priorities=["normal", "low"]) == {0, 1, 2, 3}
        assert await listed(priorities=["low"]) == set()
        assert await listed(text="NIGHT") == {0, 3}
        assert await listed(text="SEARC") == {1, 2, 3}, "a part of the value of a label"
        assert await listed(text=str(ids[2])[:13]) == {2}
        assert await listed(accepted_from=START) == {0, 1, 2, 3}
        assert await listed(accepted_before=START) == set()
        assert await listed(accepted_before=at(1), accepted_from=at(1)) == set()
        assert await listed(name="NI\x00GHT", labels={"team": "search\x00"}) == {3}, "as names are stored"


async def test_batches_are_found_by_metadata_which_their_end_repeats(clean: Servers) -> None:
    async with at_work(clean) as around:
        ids = [uuid4() for _ in range(3)]
        known = [{"order": {"id": 7, "lines": [1, 2]}, "rush": True}, {"order": {"id": 8}}, {}]
        for batch_id, metadata in zip(ids, known, strict=True):
            await around.send(
                accepted(1, batch_id=batch_id, metadata=metadata), settled("expired", [0], batch_id=batch_id)
            )
        await around.until(lambda: len(around.all(BatchFinished)) == 3)
        assert {end.batch_id: end.metadata for end in around.all(BatchFinished)} == dict(zip(ids, known, strict=True))
        listed = (await around.query(BatchesQuery(owner="ann"), BatchesReply)).batches
        assert {one.batch_id: one.metadata for one in listed} == dict(zip(ids, known, strict=True))

        async def found(metadata: dict[str, Any]) -> set[int]:
            query = BatchesQuery(owner="ann", metadata=metadata)
            return {ids.index(batch.batch_id) for batch in (await around.query(query, BatchesReply)).batches}

        assert await found({"order": {"id": 7}}) == {0}
        assert await found({"order": {}}) == {0, 1}
        assert await found({"order": {"lines": [2]}}) == {0}
        assert await found({"rush": False}) == set()


async def test_results_are_found_by_cause(clean: Servers) -> None:
    async with at_work(clean) as around:
        outcomes = {n: failure(n, "bad", "no page" if n % 2 else "no host") for n in range(10)}
        await around.send(accepted(11), processed(outcomes | {10: "succeeded"}))
        await around.finished()
        groups = (await around.query(FailuresQuery(owner="ann", batch_id=BATCH), FailuresReply)).groups
        assert len(groups) == 2
        for group in groups:
            query = ResultsQuery(owner="ann", batch_id=BATCH, cause=group.cause, limit=2)
            found = [item.ordinal for page in await pages(around, query) for item in page.items]
            assert found == group.ordinals


async def test_pages_of_batches_with_long_labels_are_short(clean: Servers) -> None:
    async with at_work(clean) as around:
        labels = {f"{n:063}": "ü" * 255 for n in range(20)}
        known = [UUID(int=number) for number in range(1, 201)]
        await around.send(*(accepted(1, batch_id=batch_id, labels=labels) for batch_id in known))
        await around.until_row("SELECT 1 FROM batches HAVING count(owner) = 200")
        found: list[UUID] = []
        query = BatchesQuery(owner="ann", limit=1000)
        while (reply := await around.query(query, BatchesReply)).truncated:
            assert len(reply.batches) < 200
            found += [batch.batch_id for batch in reply.batches]
            query = query.model_copy(update={"before": found[-1]})
        assert [*found, *(batch.batch_id for batch in reply.batches)] == list(reversed(known))
        assert found


async def test_outcomes_come_without_results_by_ordinal_and_by_filter(clean: Servers) -> None:
    async with at_work(clean) as around:
        outcomes = {n: ItemOutcome(ordinal=n, status="succeeded", custom_id=f"c{n}", result={"n": n}) for n in range(6)}
        outcomes |= {n: failure(n, "bad" if n % 2 else "worse") for n in range(6, 10)}
        await around.send(accepted(10), processed(outcomes))
        await around.finished()

        async def ask(**fields: Any) -> OutcomesReply:
            query = OutcomesQuery.model_validate({"owner": "ann", "batch_id": BATCH, **fields})
            return await around.query(query, OutcomesReply)

        named = await ask(ordinals=[9, 1, 77])
        assert [item.ordinal for item in named.items] == [1, 9]
        first, last = named.items
        assert (first.custom_id, first.result, first.cause) == ("c1", None, None)
        assert abs(first.recorded_at - datetime.now(UTC)) < timedelta(minutes=5)
        assert (last.error, last.cause is not None) == (ItemError(code="bad"), True)
        assert [item.ordinal for item in (await ask(cause=last.cause)).items] == [7, 9]
        page = await ask(status="failed", limit=3)
        assert ([item.ordinal for item in page.items], page.next_after) == ([6, 7, 8], 8)
        rest = await ask(status="failed", limit=3, after=8)
        assert ([item.ordinal for item in rest.items], rest.next_after) == ([9], None)
        assert len((await ask(limit=100)).items) == 10
        assert not (await around.query(OutcomesQuery(owner="eve", batch_id=BATCH), OutcomesReply)).found


async def test_the_last_ends_are_told_by_owner_and_for_all(clean: Servers) -> None:
    async with at_work(clean) as around:
        since = datetime.now(UTC) - timedelta(hours=1)
        for n in range(7):
            batch_id = uuid4()
            outcomes = {0: failure(0, "bad") if n % 3 == 1 else ItemOutcome(ordinal=0, status="succeeded", result={})}
            header = accepted(1).model_copy(update={"batch_id": batch_id, "owner": "bob" if n == 4 else "ann"})
            await around.send(header, processed(outcomes).model_copy(update={"batch_id": batch_id}))
            await around.finished(n + 1)

        async def ask(**fields: Any) -> EndsReply:
            return await around.query(EndsQuery.model_validate({"since": since, **fields}), EndsReply)

        ann, everybody = await ask(owner="ann"), await ask()
        assert (ann.results, everybody.results) == ({"completed": 5, "failed": 1}, {"completed": 5, "failed": 2})
        assert len(ann.last) == len(everybody.last) == 5
        ends = [batch.finished_at for batch in everybody.last]
        assert ends == sorted(ends, reverse=True)  # type: ignore[type-var]
        assert {batch.owner for batch in ann.last} == {"ann"}
        assert [batch.owner for batch in everybody.failed] == ["bob", "ann"]
        assert [batch.result for batch in ann.failed] == ["failed"]
        assert (await ask(owner="ann", since=datetime.now(UTC))).results == {}
        assert (await ask(owner="eve")).last == []
