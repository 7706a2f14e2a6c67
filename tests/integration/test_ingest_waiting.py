"""Ingest tells why batches wait, and sends the header of a batch again when it is asked for."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

from batchyard_contracts import topology
from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.flow import BatchAccepted, BatchResend
from batchyard_contracts.v1.queries import (
    BatchesQuery,
    BatchesReply,
    BatchState,
    WaitingBatch,
    WaitingQuery,
    WaitingReply,
    WorkloadCapacity,
)
from batchyard_contracts.v1.values import Counts, NewItem, WaitReason
from devstack import Servers
from services.ingest.queries.waiting_reasons import DISPATCHER_AWAY
from tests.support.patience import until
from tests.support.running_ingest import IngestHarness, running_ingest

NO_WORKER = WaitReason(code="no_worker", detail="No live worker runs squares.")
BODY = {"workload": "squares", "items": [{"payload": {"n": 1}}]}


def running_batch(owner: str) -> BatchState:
    return BatchState(
        batch_id=uuid4(),
        owner=owner,
        workload="squares",
        priority="normal",
        status="running",
        round=1,
        counts=Counts(total=1, remaining=1),
        accepted_at=datetime.now(UTC),
    )


def lacks_workers(harness: IngestHarness) -> list[WaitingQuery]:
    """Have the dispatcher answer that no worker lives; return what it is asked."""
    asked: list[WaitingQuery] = []

    def answer(query: WaitingQuery) -> WaitingReply:
        asked.append(query)
        return WaitingReply(
            batches=[WaitingBatch(batch_id=batch_id, reason=NO_WORKER) for batch_id in query.batch_ids],
            workloads=[WorkloadCapacity(workload="squares", workers=0, waiting=NO_WORKER)],
        )

    harness.answers[WaitingQuery] = answer
    harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[])
    return asked


async def test_a_submission_is_answered_with_the_reason_to_wait(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        asked = lacks_workers(harness)
        reason = NO_WORKER.model_dump(mode="json", exclude_none=True)
        # An earlier answer serves for two seconds.
        _, accepted = await until(
            lambda: harness.post("/batches", json=BODY), lambda answer: answer[1].get("waiting") == reason, pause_s=0.1
        )
        csv = {"Content-Type": "text/csv"}
        assert (await harness.post("/batches?workload=squares", data=b"n\n1\n", headers=csv))[1]["waiting"] == reason
        reply = await harness.command(BatchSubmit(workload="squares", items=[NewItem(payload={"n": 1})]))
        assert isinstance(reply, CommandAccepted)
        assert reply.waiting == NO_WORKER
        asked.clear()
        await asyncio.gather(*(harness.post("/batches", json=BODY) for _ in range(30)))
        assert len(asked) <= 2, "one answer serves many submissions"
        shown = (await harness.get(f"/batches/{accepted['batch_id']}"))[1]
        assert shown["waiting"] == reason
        assert asked[-1].batch_ids == [UUID(accepted["batch_id"])]
        assert (await harness.get("/workloads/squares"))[1]["workers"] == 0
        assert (await harness.get("/workloads"))[1]["workloads"][0]["workers"] == 0


async def test_operators_list_the_batches_of_all_owners_with_their_reasons(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        asked = lacks_workers(harness)
        questions: list[BatchesQuery] = []
        states = [running_batch(owner) for owner in ("ann", "bob", "ann")]
        harness.answers[BatchesQuery] = lambda query: questions.append(query) or BatchesReply(batches=states)  # type: ignore[func-returns-value]
        status, page = await harness.get("/owners/batches", params={"limit": 3, "workload": "squares"})
        assert (status, page["next_before"]) == (200, str(states[-1].batch_id))
        assert [(each["batch_id"], each["owner"]) for each in page["batches"]] == [
            (str(state.batch_id), state.owner) for state in states
        ]
        assert {each["waiting"]["code"] for each in page["batches"]} == {"no_worker"}
        assert sorted((query.owner, len(query.batch_ids)) for query in asked) == [("ann", 2), ("bob", 1)]
        assert [(query.all_owners, query.workload) for query in questions] == [(True, "squares")]


async def test_a_dispatcher_that_does_not_answer_is_the_reason(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        _, accepted = await harness.post("/batches", json=BODY)
        del harness.answers[WaitingQuery]
        harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[])
        status, shown = await harness.get(f"/batches/{accepted['batch_id']}")
        assert (status, shown["waiting"]["code"]) == (200, DISPATCHER_AWAY.code)


async def test_the_header_of_a_batch_is_sent_again_with_what_was_added_since(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        _, batch = await harness.post("/batches", json={**BODY, "sealed": False, "name": "mine"})
        (first,) = await harness.wait_for(BatchAccepted)
        resend = BatchResend(batch_id=UUID(batch["batch_id"]))
        await harness.publish(topology.FLOW, BatchResend(batch_id=uuid4()))  # of a batch that was withdrawn
        await harness.publish(topology.FLOW, resend)
        assert (await harness.wait_for(BatchAccepted, 2))[1] == first
        assert first.total is None
        await harness.post(f"/batches/{batch['batch_id']}/seal")
        await harness.publish(topology.FLOW, resend)
        last = (await harness.wait_for(BatchAccepted, 3))[2]
        assert last == first.model_copy(update={"total": 1})
