"""The timeline of a batch: entries of several sources in one order, page by page."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.queries import BatchState, DestinationChange
from batchyard_contracts.v1.values import Counts
from services.ingest.domain.timeline import TimelineEntry, of_change, of_command, of_end, page_of

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 5))
def test_pages_show_each_entry_once_also_those_of_one_time(seconds: list[int], limit: int) -> None:
    entries = [TimelineEntry(AT + timedelta(seconds=second), "changed", round=n) for n, second in enumerate(seconds)]
    found: list[TimelineEntry] = []
    before: datetime | None = AT + timedelta(days=1)
    while before is not None:
        page, following = page_of(entries, before, limit)
        assert len(page) >= min(limit, len(entries) - len(found))
        assert following is None or following < before
        found += page
        before = following
    assert sorted(entry.round or 0 for entry in found) == list(range(len(entries)))
    assert [entry.at for entry in found] == sorted((entry.at for entry in entries), reverse=True)


def test_a_command_shows_changes_and_no_more_than_that() -> None:
    given_: dict[str, Any] = {"at": AT, "actor": "ann", "door": "http", "before": {"state": "sealed"}}
    changed = of_command({**given_, "action": "batch.change", "after": {"weight": 2}})
    assert (changed.kind, changed.before, changed.after) == ("changed", {"state": "sealed"}, {"weight": 2})
    paused = of_command({**given_, "action": "batch.pause", "after": {"action": "pause"}})
    assert (paused.kind, paused.actor, paused.before, paused.after) == ("paused", "ann", None, None)
    retried = of_command({**given_, "action": "batch.retry", "after": {"round": 2, "items": 3}})
    assert (retried.kind, retried.round, retried.after) == ("retried", 2, {"round": 2, "items": 3})
    taken = of_command({**given_, "action": "batch.accept", "after": {"round": 2, "items": 3, "reason": "right"}})
    assert (taken.kind, taken.round, taken.reason) == ("results_accepted", 2, "right")
    assert of_command({**given_, "action": "batch.seal", "after": None}).kind == "sealed"


def test_a_destination_changes_its_rate_or_its_circuit() -> None:
    rate = of_change(DestinationChange(at=AT, limit="partition", partition="a", before=4, after=None, reason="x"))
    assert (rate.kind, rate.before, rate.after) == ("rate_changed", {"per_second": 4}, {"per_second": None})
    for state, kind in (("open", "circuit_opened"), ("closed", "circuit_closed")):
        change = DestinationChange.model_validate(
            {"at": AT, "limit": "partition", "partition": "a", "reason": "", "circuit": state}
        )
        assert (of_change(change).kind, of_change(change).reason) == (kind, None)


def test_a_round_that_runs_has_no_end() -> None:
    fields: dict[str, Any] = {"batch_id": "019a2b3c-0000-7000-8000-000000000001", "owner": "ann", "workload": "w"}
    fields |= {"priority": "normal", "round": 2, "counts": Counts(), "accepted_at": AT}
    assert of_end(BatchState(status="running", **fields)) == []
    (end,) = of_end(BatchState(status="finished", result="partial", finished_at=AT, stop_reason="deadline", **fields))
    assert (end.kind, end.round, end.result, end.reason) == ("ended", 2, "partial", "deadline")
