"""A batch that has ended is followed by others, each submitted once, with results as items or with the summary."""

from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import BatchAccepted, BatchControlled, BatchSealed
from batchyard_contracts.v1.queries import (
    BatchesQuery,
    BatchesReply,
    BatchState,
    ResultsPage,
    ResultsQuery,
    ResultsReply,
)
from batchyard_contracts.v1.values import Counts, ItemResult
from devstack import Servers
from services.ingest.persistence import follow_up_store
from services.ingest.schedules import follow_up_starter
from tests.support.finished_batches import finished
from tests.support.patience import until
from tests.support.running_ingest import IngestHarness, connect_harness, running_ingest, start_ingest

DISTANCES: dict[str, Any] = {
    "name": "distances-of",
    "parameters": {"properties": {"places": {"type": "array"}, "team": {"type": "string"}}},
    "body": {
        "workload": "squares",
        "items": [],
        "name": "distances",
        "follow_ups": [{"template": "report", "summary": "total", "on": ["completed", "partial"]}],
    },
    "fill": {"/items": "places"},
}
REPORT: dict[str, Any] = {
    "name": "report",
    "parameters": {"properties": {"total": {"type": "object"}}},
    "body": {"workload": "squares", "items": [{"payload": {"n": 0}}], "name": "report"},
    "fill": {"/items/0/payload/n": "n"},
}
REPORT["parameters"]["properties"]["n"] = {"type": "integer", "default": 7}
LEADS: dict[str, Any] = {
    "workload": "squares",
    "items": [{"payload": {"n": 1}}],
    "name": "leads",
    "follow_ups": [
        {
            "template": "distances-of",
            "parameters": {"team": "search"},
            "items": {"parameter": "places", "pointer": "/found", "payload": {"n": "/id", "note": "/name"}},
        }
    ],
}
FOUND = [{"found": [{"id": 3, "name": "a"}, {"id": 4}]}, {"found": []}, {"other": 1}, {"found": {"id": 5, "x": 1}}]


def answer(harness: IngestHarness) -> None:
    """Let the aggregator have results and summaries."""
    items = [ItemResult(ordinal=n, status="succeeded", result=result) for n, result in enumerate(FOUND)]
    harness.answers[ResultsQuery] = lambda _: ResultsReply(items=items)

    def states(query: BatchesQuery) -> BatchesReply:
        found = [
            BatchState(
                batch_id=one.batch_id, owner="default", workload="squares", priority="normal", status="finished",
                round=1, result="completed", counts=Counts(total=1, succeeded=1), accepted_at=one.accepted_at,
                summary={"n": 1},
            )
            for one in harness.all(BatchAccepted)
            if query.batch_ids is None or one.batch_id in query.batch_ids
        ]  # fmt: skip
        return BatchesReply(batches=found)

    harness.answers[BatchesQuery] = states


async def follow_up_of(harness: IngestHarness, batch_id: UUID | str, *states: str) -> dict[str, Any]:
    async def shown() -> dict[str, Any]:
        (one,) = (await harness.get(f"/batches/{batch_id}/lineage"))[1]["followed_by"]
        found: dict[str, Any] = one
        return found

    return await until(shown, lambda one: one["state"] in states)


async def test_a_chain_of_three_is_submitted_step_by_step(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        answer(harness)
        for template in (DISTANCES, REPORT):
            assert (await harness.post("/templates", json=template))[0] == 201
        status, leads = await harness.post("/batches", json=LEADS)
        assert status == 202
        assert (await follow_up_of(harness, leads["batch_id"], "waiting"))["template"] == "distances-of"
        await harness.publish(topology.EVENTS, finished(UUID(leads["batch_id"]), result="completed"))
        _, distances = await harness.wait_for(BatchAccepted, 2)
        assert (distances.name, distances.total) == ("distances", 3)
        page = next(page for page in harness.pages if page.batch_id == distances.batch_id)
        payloads = [item.payload for segment in page.segments for item in segment.items]
        assert sorted(payloads, key=lambda one: one["n"]) == [{"n": 3, "note": "a"}, {"n": 4}, {"n": 5}]
        assert (await follow_up_of(harness, leads["batch_id"], "started"))["batch_id"] == str(distances.batch_id)
        await harness.publish(topology.EVENTS, finished(distances.batch_id, result="partial"))
        *_, report = await harness.wait_for(BatchAccepted, 3)
        assert report.name == "report"
        lineage = (await harness.get(f"/batches/{report.batch_id}/lineage"))[1]
        assert (lineage["follows"], lineage["template"]) == (str(distances.batch_id), "report")
        assert lineage["followed_by"] == []


async def test_a_batch_that_ends_otherwise_is_not_followed_until_a_retry_completes_it(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        answer(harness)
        await harness.post("/templates", json=REPORT)
        follow_ups = [{"template": "report"}, {"template": "report", "on": ["failed"]}]
        batch_id = (await harness.post("/batches", json=LEADS | {"follow_ups": follow_ups}))[1]["batch_id"]
        await harness.publish(topology.EVENTS, finished(UUID(batch_id), result="failed"))
        await harness.wait_for(BatchAccepted, 2)  # the starter has looked
        waiting = (await harness.get(f"/batches/{batch_id}/lineage"))[1]["followed_by"][0]
        assert (waiting["state"], await harness.rows("SELECT due_at FROM follow_ups WHERE place = 0")) == (
            "waiting",
            [{"due_at": None}],
        )
        await harness.publish(topology.EVENTS, finished(UUID(batch_id), result="completed", round=2))
        await harness.wait_for(BatchAccepted, 3)


async def test_the_end_of_a_round_counts_although_the_next_one_has_begun(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        answer(harness)
        await harness.post("/templates", json=REPORT)
        batch_id = (await harness.post("/batches", json=LEADS | {"follow_ups": [{"template": "report"}]}))[1][
            "batch_id"
        ]
        await harness.rows("UPDATE batches SET round = 2 WHERE batch_id = $1", UUID(batch_id))
        await harness.publish(topology.EVENTS, finished(UUID(batch_id), result="completed"))
        assert (await follow_up_of(harness, batch_id, "started"))["batch_id"]


async def test_an_end_that_a_retry_relies_on_counts_although_its_event_was_missed(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        answer(harness)
        await harness.post("/templates", json=REPORT)
        body = LEADS | {"follow_ups": [{"template": "report"}]}
        batch_id = (await harness.post("/batches", json=body))[1]["batch_id"]
        assert (await harness.post(f"/batches/{batch_id}/retry", json={}))[0] == 202
        harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[])  # the next round has begun
        assert (await follow_up_of(harness, batch_id, "started"))["batch_id"]


async def test_a_follow_up_that_cannot_be_read_fails_alone(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        answer(harness)
        await harness.post("/templates", json=REPORT)
        follow_ups = [{"template": "report"}, {"template": "report"}, {"template": "report"}]
        batch_id = (await harness.post("/batches", json=LEADS | {"follow_ups": follow_ups}))[1]["batch_id"]
        change = "UPDATE follow_ups SET form = $2::json WHERE place = $1"
        await harness.rows(change, 0, '{"template": 3, "on": ["completed"]}')
        await harness.rows(change, 1, '{"template": "report", "on": ["completed"], "of_a_newer_version": 1}')
        await harness.publish(topology.EVENTS, finished(UUID(batch_id), result="completed"))
        await harness.wait_for(BatchAccepted, 3)
        rows = await until(
            lambda: harness.rows("SELECT state FROM follow_ups ORDER BY place"),
            lambda found: not {"waiting", "starting"} & {row["state"] for row in found},
        )
        assert [row["state"] for row in rows] == ["failed", "started", "started"]


async def test_a_chain_without_an_end_stops_with_a_reason(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (follow_up_store, follow_up_starter):
        monkeypatch.setattr(module, "MAX_CHAINED", 3)
    again = REPORT | {"name": "again", "body": REPORT["body"] | {"follow_ups": [{"template": "again"}]}}
    async with running_ingest(clean) as harness:
        answer(harness)
        assert (await harness.post("/templates", json=again))[0] == 201
        status, first = await harness.post("/templates/again/submit", json={})
        assert status == 202
        batch_id = UUID(first["batch_id"])
        for number in (2, 3):
            await harness.publish(topology.EVENTS, finished(batch_id, result="completed"))
            batch_id = (await harness.wait_for(BatchAccepted, number))[-1].batch_id
        await harness.publish(topology.EVENTS, finished(batch_id, result="completed"))
        failed = await follow_up_of(harness, batch_id, "failed", "started")
        assert "chain_too_long" in failed.get("reason", ""), failed


async def test_a_follow_up_that_cannot_be_says_why(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        answer(harness)
        body = LEADS | {"follow_ups": [{"template": "absent"}]}
        batch_id = (await harness.post("/batches", json=body))[1]["batch_id"]
        await harness.publish(topology.EVENTS, finished(UUID(batch_id), result="completed"))
        failed = await follow_up_of(harness, batch_id, "failed")
        assert ("template_not_found" in failed["reason"], "batch_id" in failed) == (True, False)


def answer_with(harness: IngestHarness, total: int) -> None:
    """Let the aggregator have `total` results, each of which gives two items."""
    answer(harness)

    def results(query: ResultsQuery) -> ResultsPage:
        page = range(query.after + 1, min(total, query.after + 1 + (query.max_items or query.limit)))
        items = [
            ItemResult(ordinal=n, status="succeeded", result={"found": [{"id": 2 * n}, {"id": 2 * n + 1}]})
            for n in page
        ]
        return ResultsPage(items=items, next_after=page[-1] if page and page[-1] < total - 1 else None)

    harness.answers[ResultsQuery] = results


async def test_more_results_than_one_command_takes_become_one_batch(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        answer_with(harness, 12_000)
        await harness.post("/templates", json=DISTANCES)
        batch_id = (await harness.post("/batches", json=LEADS))[1]["batch_id"]
        await harness.publish(topology.EVENTS, finished(UUID(batch_id), result="completed"))
        started = await follow_up_of(harness, batch_id, "started", "failed")
        assert started["state"] == "started", started
        following = UUID(started["batch_id"])
        await harness.wait_until(lambda: any(one.batch_id == following for one in harness.all(BatchSealed)))
        items = [
            (item.ordinal, item.payload["n"])
            for page in harness.pages
            if page.batch_id == following
            for segment in page.segments
            for item in segment.items
        ]
        assert sorted(items) == [(n, n) for n in range(24_000)]
        (row,) = await harness.rows("SELECT state, items, name FROM batches WHERE batch_id = $1", following)
        assert row == {"state": "sealed", "items": 24_000, "name": "distances"}
        # a process that died in between: all is sent again, and counts once
        await harness.rows("UPDATE batches SET state = 'open' WHERE batch_id = $1", following)
        await harness.rows("UPDATE follow_ups SET state = 'starting', due_at = now(), next_batch = $1", following)
        await harness.until_row("SELECT FROM batches WHERE batch_id = $1 AND state = 'sealed'", following)
        (row,) = await harness.rows("SELECT items FROM batches WHERE batch_id = $1", following)
        assert row == {"items": 24_000}


async def test_parts_of_results_that_have_changed_leave_no_open_batch(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        answer_with(harness, 12_000)
        await harness.post("/templates", json=DISTANCES)
        batch_id = (await harness.post("/batches", json=LEADS))[1]["batch_id"]
        await harness.publish(topology.EVENTS, finished(UUID(batch_id), result="completed"))
        following = UUID((await follow_up_of(harness, batch_id, "started"))["batch_id"])
        await harness.rows("UPDATE batches SET state = 'open' WHERE batch_id = $1", following)
        await harness.rows("UPDATE appends SET digest = '\\x00' WHERE batch_id = $1", following)
        await harness.rows("UPDATE follow_ups SET state = 'starting', due_at = now()")
        failed = await follow_up_of(harness, batch_id, "failed")
        assert "results_changed" in failed["reason"]
        await harness.wait_until(lambda: any(one.action == "cancel" for one in harness.all(BatchControlled)))
        assert (await harness.rows("SELECT state FROM batches WHERE batch_id = $1", following)) == [{"state": "sealed"}]


async def test_a_template_that_places_items_elsewhere_says_why_it_takes_no_more(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        answer_with(harness, 12_000)
        narrow = REPORT | {
            "name": "distances-of",
            "parameters": {"properties": {"places": {"type": "array"}, "team": {"type": "string"}}},
            "body": {"workload": "squares", "items": [{"payload": {"n": 1, "note": "x"}}]},
            "fill": {"/items/0/payload/note": "team"},
        }
        assert (await harness.post("/templates", json=narrow))[0] == 201
        batch_id = (await harness.post("/batches", json=LEADS))[1]["batch_id"]
        await harness.publish(topology.EVENTS, finished(UUID(batch_id), result="completed"))
        failed = await follow_up_of(harness, batch_id, "failed", "started")
        assert "too_many_items" in failed.get("reason", ""), failed
        assert "/items" in failed["reason"]


async def test_several_replicas_and_a_crash_submit_a_follow_up_once(clean: Servers) -> None:
    async with start_ingest(clean) as port, start_ingest(clean), connect_harness(clean, port) as harness:
        await harness.announce()
        answer(harness)
        await harness.post("/templates", json=REPORT)
        body = LEADS | {"follow_ups": [{"template": "report"}]}
        ids = [(await harness.post("/batches", json=body))[1]["batch_id"] for _ in range(5)]
        for batch_id in ids:
            await harness.publish(topology.EVENTS, finished(UUID(batch_id), result="completed"))
        following = {(await follow_up_of(harness, batch_id, "started"))["batch_id"] for batch_id in ids}
        await harness.rows("DELETE FROM templates WHERE name = 'report'")  # nobody needs it any more
        await harness.rows("UPDATE follow_ups SET state = 'starting', due_at = now()")
        again = {(await follow_up_of(harness, batch_id, "started"))["batch_id"] for batch_id in ids}
        assert again == following
        assert len(await harness.rows("SELECT FROM batches")) == 10
