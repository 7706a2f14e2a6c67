"""The end of a batch as its state tells it, also by a service of an older version."""

import uuid
from datetime import UTC, datetime
from typing import Any

from batchyard_contracts.client.following import end_of
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Counts

AT = datetime(2026, 1, 1, tzinfo=UTC)
STATE: dict[str, Any] = {
    "batch_id": uuid.UUID(int=1),
    "workload": "w",
    "owner": "ann",
    "priority": "normal",
    "round": 1,
    "counts": Counts(total=1, succeeded=1, remaining=0),
    "accepted_at": AT,
}


def test_a_state_without_newer_fields_tells_the_end() -> None:
    state = BatchState(**STATE, status="finished", result="completed", finished_at=AT, percent=None)
    end = end_of(state)
    assert end is not None
    assert (end.result, end.round, end.percent) == ("completed", 1, 100.0)


def test_a_running_batch_has_no_end() -> None:
    assert end_of(BatchState(**STATE, status="running", percent=40.0)) is None
