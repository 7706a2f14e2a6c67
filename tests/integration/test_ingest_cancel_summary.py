"""The answer to a cancel tells how many items it stops, how many outcomes stay, and how many items still run."""

from datetime import UTC, datetime
from typing import Any

import pytest

from batchyard_contracts.v1.flow import BatchControlled
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, BatchState, ReasonsQuery, ReasonsReply
from batchyard_contracts.v1.values import Counts
from devstack import Servers
from tests.support.running_ingest import IngestHarness, running_ingest

BODY: dict[str, Any] = {"workload": "squares", "items": [{"payload": {"n": n}} for n in range(10)]}


async def submit(harness: IngestHarness, **fields: Any) -> str:
    status, accepted = await harness.post("/batches", json=BODY | fields)
    assert status == 202
    return str(accepted["batch_id"])


def answers(harness: IngestHarness, batch: str, counts: Counts, in_flight: int) -> None:
    state = BatchState(
        batch_id=batch, owner="default", workload="squares", priority="normal", status="running", round=1,
        counts=counts, accepted_at=datetime.now(UTC),
    )  # fmt: skip
    harness.answers |= {
        BatchesQuery: lambda _: BatchesReply(batches=[state]),
        ReasonsQuery: lambda _: ReasonsReply(in_flight=in_flight),
    }


@pytest.mark.parametrize("sealed", [True, False])
async def test_a_cancel_tells_what_becomes_of_the_items(clean: Servers, sealed: bool) -> None:
    async with running_ingest(clean) as harness:
        batch = await submit(harness, sealed=sealed)
        answers(harness, batch, Counts(total=10 if sealed else None, succeeded=3, failed=1), 2)
        status, reply = await harness.post(f"/batches/{batch}/cancel")
        assert (status, reply["cancelled"]) == (202, {"stopped": 4, "kept": 4, "running": 2})


async def test_items_that_end_meanwhile_are_not_counted_twice(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch = await submit(harness)
        answers(harness, batch, Counts(total=10, succeeded=9), 4)
        assert (await harness.post(f"/batches/{batch}/cancel"))[1]["cancelled"] == {
            "stopped": 0, "kept": 9, "running": 1,
        }  # fmt: skip


async def test_a_cancel_waits_for_no_service_that_is_away_and_a_repeated_one_tells_nothing(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch = await submit(harness)
        headers = {"Idempotency-Key": "stop"}
        status, reply = await harness.post(f"/batches/{batch}/cancel", headers=headers)
        assert (status, reply.get("cancelled")) == (202, None)
        assert (await harness.wait_for(BatchControlled))[0].action == "cancel"
        answers(harness, batch, Counts(total=10), 0)
        status, reply = await harness.post(f"/batches/{batch}/cancel", headers=headers)
        assert (status, reply["replayed"], reply.get("cancelled")) == (202, True, None)
        assert "cancelled" not in (await harness.post(f"/batches/{batch}/pause"))[1]
