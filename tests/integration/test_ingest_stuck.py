"""Operators see which batches make no progress and why, and help them; each remedy is in the audit with its reason."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.v1.flow import BatchAccepted, BatchRemedied
from batchyard_contracts.v1.queries import (
    BatchesQuery,
    BatchesReply,
    BatchState,
    HistoryQuery,
    HistoryReply,
    HoldReason,
    ReasonsQuery,
    ReasonsReply,
)
from batchyard_contracts.v1.values import Counts, WaitReason
from devstack import Servers
from tests.support.running_ingest import IngestHarness, running_ingest

BODY = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
REASON = {"reason": "its worker hangs"}


def idle(number: int, **fields: Any) -> BatchState:
    given: dict[str, Any] = {
        "batch_id": UUID(int=(0x019A << 112) + (7 << 76) + (2 << 62) + number), "owner": f"owner{number}",
        "workload": "squares", "priority": "normal", "status": "running", "round": 1, "counts": Counts(total=3),
        "accepted_at": AT, "changed_at": AT + timedelta(minutes=number),
    }  # fmt: skip
    return BatchState.model_validate(given | fields)


async def submit(harness: IngestHarness) -> str:
    status, accepted = await harness.post("/batches", json=BODY)
    assert status == 202
    return str(accepted["batch_id"])


async def test_every_batch_without_progress_is_listed_with_its_reasons(clean: Servers) -> None:
    paused = HoldReason(code="paused", detail="The batch is paused.")
    lost = WaitReason(code="stuck", detail="A message was lost.")
    replies = {
        "owner1": ReasonsReply(reasons=[paused], paused=True),
        "owner2": ReasonsReply(in_flight=3),
        "owner3": ReasonsReply(found=False),
        "owner4": ReasonsReply(waiting=1),
    }
    asked: list[BatchesQuery] = []

    def batches(query: BatchesQuery) -> BatchesReply:
        asked.append(query)
        return BatchesReply(batches=[*map(idle, range(1, 5)), idle(5, waiting=lost)])

    async with running_ingest(clean) as harness:
        harness.answers |= {BatchesQuery: batches, ReasonsQuery: lambda query: replies[query.owner]}
        status, shown = await harness.get("/stuck", params={"idle_s": 30, "limit": 9})
        assert status == 200
        codes = [[reason["code"] for reason in one["reasons"]] for one in shown["batches"]]
        assert codes == [["paused"], ["in_flight"], ["not_held"], ["not_dispatched"], ["stuck"]]
        assert shown["batches"][1]["since"] == "2026-11-30T06:02:00Z"
        assert "3 items are at workers" in shown["batches"][1]["reasons"][0]["detail"]
        (query,) = asked
        assert (query.all_owners, query.idle_s, query.limit, query.oldest_first) == (True, 30, 9, True)


async def test_a_dispatcher_that_is_away_is_a_reason_too(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[idle(1)])
        status, shown = await harness.get("/stuck")
        assert (status, shown["batches"][0]["reasons"][0]["code"]) == (200, "dispatcher_away")


@pytest.mark.parametrize(
    "parameters", [{"idle_s": 0}, {"idle_s": "nan"}, {"idle_s": 1e9}, {"limit": 0}, {"limit": 101}, {"limit": "x"}]
)
async def test_a_parameter_beyond_its_bounds_is_refused(clean: Servers, parameters: dict[str, Any]) -> None:
    async with running_ingest(clean, announced=False) as harness:
        status, problem = await harness.get("/stuck", params=parameters)
        assert (status, problem["code"]) == (422, "invalid_request")


async def test_a_remedy_goes_to_the_services_and_into_audit_and_timeline(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch = await submit(harness)
        before = len(harness.all(BatchAccepted))
        for remedy in ("release", "replay"):
            status, accepted = await harness.post(f"/batches/{batch}/remedies", json={"remedy": remedy, **REASON})
            assert (status, accepted["batch_id"]) == (202, batch)
        released, replayed = await harness.wait_for(BatchRemedied, 2)
        assert (released.remedy, released.round, str(released.batch_id)) == ("release", 1, batch)
        assert replayed.remedy == "replay"
        assert released.at < replayed.at
        again = harness.all(BatchAccepted)[before:]
        assert [(str(one.batch_id), one.total) for one in again] == [(batch, 1)], "announced again by `replay` alone"
        harness.answers |= {
            BatchesQuery: lambda _: BatchesReply(batches=[idle(1, batch_id=batch, owner="default")]),
            HistoryQuery: lambda _: HistoryReply(),
        }
        _, timeline = await harness.get(f"/batches/{batch}/timeline")
        assert [(one["kind"], one.get("reason")) for one in timeline["entries"][:2]] == [
            ("replayed", "its worker hangs"), ("released", "its worker hangs"),
        ]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"remedy": "release"},
        {"remedy": "release", "reason": " "},
        {"remedy": "release", "reason": "a\nb"},
        {"remedy": "release", "reason": "x" * 501},
        {"remedy": "restart", **REASON},
        {**REASON},
        {"remedy": "release", **REASON, "force": True},
        [],
    ],
)
async def test_a_wrong_remedy_is_refused_and_changes_nothing(clean: Servers, wrong: Any) -> None:
    async with running_ingest(clean) as harness:
        batch = await submit(harness)
        status, problem = await harness.post(f"/batches/{batch}/remedies", json=wrong)
        assert status == 422, problem
        assert await harness.rows("SELECT FROM audit WHERE action IN ('batch.release', 'batch.replay')") == []


async def test_a_batch_that_has_ended_or_does_not_exist_takes_no_remedy(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch = await submit(harness)
        await harness.rows("UPDATE batches SET done = true")
        document = {"remedy": "release", **REASON}
        for id_, code in ((batch, (409, "batch_finished")), (str(UUID(int=7)), (404, "batch_not_found"))):
            status, problem = await harness.post(f"/batches/{id_}/remedies", json=document)
            assert (status, problem["code"]) == code
