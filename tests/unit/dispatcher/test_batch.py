"""The header of a batch determines its stop status, deadline, retry rules and limits."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import RetryRule, StopReason, Terms
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.scheduling.partition_queue import PageSlice, RetryRange
from services.dispatcher.state.state import DispatcherState

BATCH, AT = UUID(int=1), datetime(2026, 11, 22, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def batch(**fields: Any) -> Batch:
    return Batch(BATCH, "ann", "w", "normal", **fields)


def manifest(**rules: RetryRule) -> Manifest:
    return Manifest(name="w", version="1", item_schema={}, result_schema={}, retry=rules)


@pytest.mark.parametrize(
    ("cancelled", "cause", "stopped"),
    [
        (False, None, None),
        (True, None, "cancelled"),
        (False, "failure_threshold", "cancelled"),
        (False, "deadline", "expired"),
        (True, "deadline", "cancelled"),
    ],
)
def test_stop_status_follows_the_stop_reason(cancelled: bool, cause: StopReason | None, stopped: str | None) -> None:
    assert batch(cancelled=cancelled, stop_reason=cause).stop_status == stopped


@pytest.mark.parametrize(("opened_at", "holds"), [(None, True), (AT - SECOND, True), (AT, False), (AT + SECOND, False)])
def test_deadline_before_the_round_does_not_expire_it(opened_at: datetime | None, holds: bool) -> None:
    assert batch(terms=Terms(deadline=AT), opened_at=opened_at).deadline == (AT if holds else None)


MINE, THEIRS, THEIR_DEFAULT = RetryRule(attempts=1), RetryRule(attempts=2), RetryRule(attempts=3)


@pytest.mark.parametrize(
    ("own", "code", "expected"),
    [
        ({}, "busy", THEIRS),
        ({}, "other", THEIR_DEFAULT),
        ({"busy": MINE}, "busy", MINE),
        ({"busy": MINE}, "other", THEIR_DEFAULT),
        ({"default": MINE}, "other", MINE),
        ({"default": MINE}, "busy", THEIRS),
    ],
)
def test_retry_rules_of_a_batch_replace_those_of_the_workload_by_code(
    own: dict[str, RetryRule], code: str, expected: RetryRule
) -> None:
    found = batch(terms=Terms(retry=own)).retry_rule(manifest(busy=THEIRS, default=THEIR_DEFAULT), code)
    assert found == expected


def test_default_retry_rule_applies_without_any_rule() -> None:
    assert batch(terms=Terms(retry={"busy": MINE})).retry_rule(manifest(), "other") == RetryRule()


def joined(**fields: Any) -> tuple[DispatcherState, Batch]:
    state, mine = DispatcherState(), batch(**fields)
    state.set_manifest(manifest())
    queue = state.add_batch(mine)
    queue.partition_queue("x").slices.append(PageSlice(0, 0, 5))
    queue.partition_queue("x").retries.append(RetryRange(2, (7, 8)))
    for ordinal in (7, 8):
        state.load_retry(BATCH, "x", ordinal)
    return state, mine


def test_pause_keeps_waiting_items_and_a_stop_drops_them() -> None:
    state, mine = joined(terms=Terms(deadline=AT))
    queue = state.batch_queue(mine)
    assert queue is not None
    mine.paused = True
    state.apply_control(mine)
    assert (queue.paused, list(queue.partition_queues), state.deadlines) == (True, ["x"], {BATCH: AT})
    mine.paused, mine.stop_reason = False, "deadline"
    state.apply_control(mine)
    assert (queue.paused, list(queue.partition_queues), state.deadlines, state.loaded_retries) == (True, [], {}, set())


def test_new_terms_take_effect_and_can_be_removed() -> None:
    state, mine = joined()
    queue = state.batch_queue(mine)
    assert queue is not None
    mine.priority, mine.terms = "immediate", Terms(weight=7, concurrency=3)
    state.apply_control(mine)
    assert (queue.priority, queue.weight, state.batch_limits[BATCH].concurrency) == ("immediate", 7, 3)
    mine.terms = Terms()
    state.apply_control(mine)
    assert (queue.weight, state.batch_limits, state.deadlines) == (1, {}, {})


def test_started_round_gets_no_second_burst_after_a_takeover() -> None:
    terms = Terms.model_validate({"rate": {"per_second": 0.001, "burst": 5}})
    free = []
    for started_round in (0, 1):
        state, _ = joined(terms=terms, started_round=started_round)
        free.append(state.batch_limits[BATCH].available(0, time.monotonic()))
    assert free == [5, 1]


def test_retry_is_loaded_once_however_often_it_is_read() -> None:
    state, _ = joined()
    assert not state.load_retry(BATCH, "x", 7)
    state.unload_retries(BATCH, "x", (7,))
    assert (state.loaded_retries, dict(state.loaded_by_partition)) == ({(BATCH, 8)}, {(BATCH, "x"): 1})
    assert state.load_retry(BATCH, "x", 7)


def test_removed_batch_leaves_no_state_behind() -> None:
    state, _ = joined(terms=Terms(deadline=AT, concurrency=2))
    for _ in range(2):  # the message may be delivered twice
        state.remove_batch(BATCH)
        assert (state.batches, state.batch_limits, state.deadlines, state.loaded_retries) == ({}, {}, {}, set())
        assert state.workload_queue("w").scheduler.batch_queue(BATCH) is None
