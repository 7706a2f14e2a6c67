"""The end of a batch as its state tells it, also by a service of an older version."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Counts

AT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = AT + timedelta(minutes=1)
STATE: dict[str, Any] = {
    "batch_id": uuid.UUID(int=1),
    "workload": "w",
    "owner": "ann",
    "priority": "normal",
    "round": 1,
    "counts": Counts(total=1, succeeded=1, remaining=0),
    "accepted_at": AT,
}


@pytest.mark.parametrize("finished_at", [AT, None])
def test_a_state_without_newer_fields_tells_the_end(finished_at: datetime | None) -> None:
    state = BatchState(**STATE, status="finished", result="completed", finished_at=finished_at, percent=None)
    end = state.end(LATER)
    assert end is not None
    assert (end.result, end.round, end.percent) == ("completed", 1, 100.0)
    assert end.finished_at == (finished_at or LATER)


def test_a_running_batch_has_no_end() -> None:
    assert BatchState(**STATE, status="running", percent=40.0).end(LATER) is None
