"""BatchHeader: creation from a command, the reply, and the state before the aggregator has the batch."""

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import pytest

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Counts, Dedup, Notifications, Reuse, Terms
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.upload_digest import UploadPosition

BATCH, AT = UUID(int=7), datetime(2026, 11, 22, tzinfo=UTC)


def header(state: Literal["open", "sealed"] = "sealed", **fields: Any) -> BatchHeader:
    command = BatchSubmit.model_validate({"workload": "w", **fields})
    return BatchHeader.from_command(BATCH, "ann", command, state, AT, "trace")


def test_a_command_becomes_a_header_without_items() -> None:
    found = header(
        priority="low",
        name="first",
        labels={"a": "b"},
        notify={"emails": ["ann@a.example"]},
        weight=3,
        concurrency=9,
        cache="off",
        dedup={"mode": "reject"},
        idempotency_key="k",
    )
    assert (found.batch_id, found.owner, found.workload, found.priority) == (BATCH, "ann", "w", "low")
    assert (found.name, found.labels, found.notify) == ("first", {"a": "b"}, Notifications(emails=["ann@a.example"]))
    assert (found.terms, found.reuse) == (
        Terms(weight=3, concurrency=9),
        Reuse(cache="off", dedup=Dedup(mode="reject")),
    )
    assert (found.idempotency_key, found.traceparent, found.accepted_at) == ("k", "trace", AT)
    assert (found.items, found.pages, found.assigned, found.confirmed) == (0, 0, UploadPosition(0, 0, b""), None)
    assert (found.round, found.finished, found.leased) == (1, False, False)


@pytest.mark.parametrize(
    ("fields", "source_mode"),
    [
        ({"items": [{"payload": {}}]}, None),
        ({"source": {"area": 1}}, "expand"),
        ({"source": {"area": 1}, "estimate": True}, "estimate"),
    ],
)
def test_a_source_is_expanded_unless_an_estimate_is_requested(fields: dict[str, Any], source_mode: str | None) -> None:
    assert header(**fields).source_mode == source_mode


@pytest.mark.parametrize("replayed", [True, False])
def test_the_reply_has_the_number_of_items_and_says_whether_it_is_a_replay(replayed: bool) -> None:
    found = header()
    assert found.to_reply(replayed=replayed) == CommandAccepted(
        batch_id=BATCH, workload="w", items=0, replayed=replayed, accepted_at=AT
    )


@pytest.mark.parametrize(("state", "status", "total"), [("open", "open", None), ("sealed", "running", 0)])
def test_all_items_remain_until_the_aggregator_has_the_batch(
    state: Literal["open", "sealed"], status: Any, total: int | None
) -> None:
    assert header(state, name="first", weight=3).to_state() == BatchState(
        batch_id=BATCH,
        owner="ann",
        workload="w",
        priority="normal",
        status=status,
        round=1,
        counts=Counts(total=total, remaining=0),
        name="first",
        terms=Terms(weight=3),
        accepted_at=AT,
    )
