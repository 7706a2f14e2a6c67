"""A progress snapshot is the same from an event and from a reply of the aggregator."""

from datetime import UTC, datetime
from itertools import pairwise, permutations
from typing import Any
from uuid import UUID

import orjson
import pytest

from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Counts
from services.ingest.domain.progress_snapshot import ProgressSnapshot

BATCH, AT = UUID(int=7), datetime(2026, 11, 22, tzinfo=UTC)


def state(status: str = "running", **fields: Any) -> BatchState:
    known = {"batch_id": BATCH, "owner": "ann", "workload": "w", "priority": "normal", "accepted_at": AT}
    counts = Counts(total=10, succeeded=3, failed=2, cancelled=1, expired=1, duplicate=1, remaining=2)
    return BatchState.model_validate(known | {"status": status, "round": 2, "counts": counts} | fields)


def test_an_event_keeps_its_fields_and_gets_its_type_in_front() -> None:
    body = orjson.dumps({"batch_id": str(BATCH), "owner": "ann", "round": 1, "counts": {"succeeded": 2}, "later": [1]})
    batch_id, snapshot = ProgressSnapshot.from_event(BatchProgressed.type, body)
    assert (batch_id, snapshot.owner, snapshot.final, snapshot.rank) == (BATCH, "ann", False, (1, 0, 2))
    assert snapshot.body.startswith(b'{"type":"batch.progressed.v1","batch_id":')
    assert orjson.loads(snapshot.body)["later"] == [1]


def test_the_rank_counts_all_ended_items_and_not_the_remaining_ones() -> None:
    assert ProgressSnapshot.from_state(state()).rank == (2, 0, 8)


def test_the_state_of_a_running_batch_becomes_a_progress_event() -> None:
    snapshot = ProgressSnapshot.from_state(state(items_per_s=4.0, eta_s=0.5))
    event = BatchProgressed.model_validate(orjson.loads(snapshot.body))
    assert (event.status, event.items_per_s, event.eta_s, event.counts) == ("running", 4.0, 0.5, state().counts)
    assert not snapshot.final


@pytest.mark.parametrize("finished_at", [AT, None])
def test_the_state_of_a_finished_batch_becomes_its_final_event(finished_at: datetime | None) -> None:
    snapshot = ProgressSnapshot.from_state(state("finished", result="partial", finished_at=finished_at, name="first"))
    event = BatchFinished.model_validate(orjson.loads(snapshot.body))
    assert (event.type, event.result, event.name, event.counts) == (
        "batch.finished.v1",
        "partial",
        "first",
        state().counts,
    )
    assert event.finished_at == AT if finished_at else event.finished_at > AT
    assert (snapshot.final, snapshot.rank) == (True, (2, 1, 8))


def test_a_later_round_ranks_higher_than_an_end_and_an_end_higher_than_any_count() -> None:
    def snapshot(kind: str, round_: int, ended: int) -> ProgressSnapshot:
        return ProgressSnapshot.from_fields(
            {"type": kind, "owner": "ann", "round": round_, "counts": {"succeeded": ended}}
        )

    ordered = [
        snapshot(BatchProgressed.type, 1, 0),
        snapshot(BatchProgressed.type, 1, 9),
        snapshot(BatchFinished.type, 1, 9),
        snapshot(BatchProgressed.type, 2, 0),
    ]
    assert all(one.rank < following.rank for one, following in pairwise(ordered))
    for order in permutations(ordered):
        assert sorted(order, key=lambda each: each.rank) == ordered


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"batch_id":"x"}', b"{"])
def test_an_invalid_event_raises(body: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        ProgressSnapshot.from_event(BatchProgressed.type, body)


def test_counts_that_are_no_object_raise() -> None:
    with pytest.raises(TypeError, match="counts"):
        ProgressSnapshot.from_fields({"type": BatchProgressed.type, "owner": "ann", "round": 1, "counts": 5})
