"""A run whose predecessor has not ended is skipped, waits, replaces it, or starts beside it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.ingest.domain.overlap import MAX_QUEUED, MAX_UNSTARTED, Skip, Start, Wait, WaitingRun, decide_overlap

NOW = datetime(2026, 11, 30, tzinfo=UTC)
BATCH = UUID(int=1)


def at(minutes: int, origin: Any = "schedule") -> WaitingRun:
    return WaitingRun(NOW + timedelta(minutes=minutes), origin)


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel", "allow"])
def test_a_run_starts_when_nothing_is_before_it(overlap: Any) -> None:
    assert decide_overlap(at(0), overlap, [], [at(0)]) == Start()


def test_each_rule_decides_on_a_run_whose_predecessor_runs() -> None:
    decided = {rule: decide_overlap(at(0), rule, [BATCH], [at(0)]) for rule in ("skip", "queue", "cancel", "allow")}
    assert isinstance(decided["skip"], Skip)
    assert decided["queue"] == Wait()
    assert decided["cancel"] == Wait(cancel=[BATCH])
    assert decided["allow"] == Start()


def test_queued_runs_start_in_the_order_of_their_times() -> None:
    waiting = [at(2), at(1), at(1, "backfill")]
    decided = {run: decide_overlap(run, "queue", [], waiting) for run in waiting}
    assert [run for run, one in decided.items() if one == Start()] == [at(1, "backfill")]


def test_of_runs_that_cancel_each_other_the_latest_starts() -> None:
    waiting = [at(1), at(2), at(3)]
    decided = [decide_overlap(run, "cancel", [], waiting) for run in waiting]
    assert [type(one) for one in decided] == [Skip, Skip, Start]


def test_the_queue_is_bounded_but_not_for_a_backfill() -> None:
    waiting = [at(number) for number in range(MAX_QUEUED)]
    for origin, kind in (("schedule", Skip), ("backfill", Wait), ("manual", Wait)):
        last = at(MAX_QUEUED, origin)
        assert isinstance(decide_overlap(last, "queue", [BATCH], [*waiting, last]), kind)


def test_runs_beside_each_other_are_bounded_while_none_of_them_can_start() -> None:
    decided = [decide_overlap(at(0), "allow", [], [at(0)], starting=MAX_UNSTARTED - free) for free in (1, 0)]
    assert [type(one) for one in decided] == [Start, Skip]
