"""A batch that has ended is followed by others, each submitted once, with results as items or with the summary."""

import asyncio
from typing import Any
from uuid import UUID

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import BatchAccepted
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, BatchState, ResultsQuery, ResultsReply
from batchyard_contracts.v1.values import Counts, ItemResult
from devstack import Servers
from tests.integration.test_ingest_schedules import finished
from tests.support.patience import PATIENCE_S
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
    async with asyncio.timeout(PATIENCE_S):
        while True:
            (one,) = (await harness.get(f"/batches/{batch_id}/lineage"))[1]["followed_by"]
            if one["state"] in states:
                found: dict[str, Any] = one
                return found
            await asyncio.sleep(0.05)  # the API has no signal for it


async def test_a_chain_of_three_is_submitted_step_by_step(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        answer(harness)
        for template in (DISTANCES, REPORT):
            assert (await harness.post("/templates", json=template))[0] == 201
        status, leads = await harness.post("/batches", json=LEADS)
        assert status == 202
        assert (await follow_up_of(harness, leads["batch_id"], "waiting"))["template"] == "distances-of"
        await harness.publish(topology.EVENTS, finished(leads["batch_id"]))
        _, distances = await harness.wait_for(BatchAccepted, 2)
        assert (distances.name, distances.total) == ("distances", 3)
        page = next(page for page in harness.pages if page.batch_id == distances.batch_id)
        payloads = [item.payload for segment in page.segments for item in segment.items]
        assert sorted(payloads, key=lambda one: one["n"]) == [{"n": 3, "note": "a"}, {"n": 4}, {"n": 5}]
        assert (await follow_up_of(harness, leads["batch_id"], "started"))["batch_id"] == str(distances.batch_id)
        await harness.publish(topology.EVENTS, finished(str(distances.batch_id), "partial"))
        *_, report = await harness.wait_for(BatchAccepted, 3)
        assert report.name == "report"
        lineage = (await harness.get(f"/batches/{report.batch_id}/lineage"))[1]
        assert (lineage["follows"], lineage["template"]) == (str(distances.batch_id), "report")
        assert lineage["followed_by"] == []


async def test_a_batch_that_ends_otherwise_is_not_followed_until_a_retry_completes_it(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        answer(harness)
        await harness.post("/templates", json=REPORT)
        body = LEADS | {"follow_ups": [{"template": "report"}]}
        batch_id = (await harness.post("/batches", json=body))[1]["batch_id"]
        await harness.publish(topology.EVENTS, finished(batch_id, "failed"))
        async with asyncio.timeout(PATIENCE_S):
            while not await harness.rows("SELECT FROM batches WHERE result = 'failed'"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # a table has no signal
        assert (await follow_up_of(harness, batch_id, "waiting"))["template"] == "report"
        await harness.publish(topology.EVENTS, finished(batch_id).model_copy(update={"round": 2}))
        assert (await follow_up_of(harness, batch_id, "started"))["batch_id"]
        assert len(await harness.wait_for(BatchAccepted, 2)) == 2


async def test_a_follow_up_that_cannot_be_says_why(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        answer(harness)
        body = LEADS | {"follow_ups": [{"template": "absent"}]}
        batch_id = (await harness.post("/batches", json=body))[1]["batch_id"]
        await harness.publish(topology.EVENTS, finished(batch_id))
        failed = await follow_up_of(harness, batch_id, "failed")
        assert ("template_not_found" in failed["reason"], "batch_id" in failed) == (True, False)


async def test_several_replicas_and_a_crash_submit_a_follow_up_once(clean: Servers) -> None:
    async with start_ingest(clean) as port, start_ingest(clean), connect_harness(clean, port) as harness:
        await harness.announce()
        answer(harness)
        await harness.post("/templates", json=REPORT)
        body = LEADS | {"follow_ups": [{"template": "report"}]}
        ids = [(await harness.post("/batches", json=body))[1]["batch_id"] for _ in range(5)]
        for batch_id in ids:
            await harness.publish(topology.EVENTS, finished(batch_id))
        following = {(await follow_up_of(harness, batch_id, "started"))["batch_id"] for batch_id in ids}
        await harness.rows("UPDATE follow_ups SET state = 'starting', due_at = now()")
        again = {(await follow_up_of(harness, batch_id, "started"))["batch_id"] for batch_id in ids}
        assert again == following
        assert len(await harness.rows("SELECT FROM batches")) == 10
