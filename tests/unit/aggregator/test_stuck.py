"""A batch that nobody holds is mended, then reported, and ends once it is stopped."""

from dataclasses import replace

import pytest

from services.aggregator.domain.batch import Batch
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.stuck import REPORT_SWEEPS, StuckWatch
from services.aggregator.settings import AggregatorSettings
from tests.support.ledger_messages import BATCH, at, batch


def steps(found: Batch, sweeps: int = 8, *, count: bool = True) -> list[str | None]:
    watch, taken = StuckWatch(), list[str | None]()
    for _ in range(sweeps):
        taken += [unheld.step for unheld in watch.observe([found], {BATCH: 1}, count=count)]
        watch.end_rotation()
    return taken


def test_a_batch_is_mended_from_the_second_sweep_on_and_reported_until_that_is_recorded() -> None:
    stuck = batch(total=3, counters=OutcomeCounters(succeeded=1))
    assert steps(stuck) == [None, "resend", "resend", None, "report", "report", "report", "report"]
    recorded = replace(stuck, stuck_version=stuck.version)
    assert steps(recorded)[REPORT_SWEEPS - 1 :] == [None] * 4


def test_a_stuck_batch_is_found_and_reported_within_half_a_minute() -> None:
    interval_s = AggregatorSettings().aggregator_stuck_sweep_s
    assert interval_s * (1 + 1 + REPORT_SWEEPS) <= 30, "idle for one, found by the next, counted by the others"


@pytest.mark.parametrize(
    "found",
    [
        batch(total=None),
        Batch(1, BATCH, total=3),
        batch(total=1, counters=OutcomeCounters(succeeded=1)),
    ],
)
def test_a_batch_that_is_open_unknown_or_complete_is_only_asked_for(found: Batch) -> None:
    assert steps(found) == [None, "resend", "resend", None, None, None, None, None]


def test_the_missing_items_of_a_stopped_batch_end() -> None:
    cancelled = batch(total=3).apply_command("cancel", at(1))
    assert cancelled.stop_status == "cancelled"
    assert steps(cancelled)[REPORT_SWEEPS - 1 :] == ["settle"] * 4
    assert batch(total=3).stop("deadline", 1, at(1)).stop_status == "expired"


def test_a_change_of_the_batch_ends_the_suspicion() -> None:
    watch, taken = StuckWatch(), []
    for version in (0, 0, 1, 1, 1):
        (unheld,) = watch.observe([batch(total=3, version=version)], {BATCH: 1}, count=True)
        taken.append(unheld.step)
        watch.end_rotation()
    assert taken == [None, "resend", None, "resend", "resend"]


def test_sweeps_while_messages_may_be_under_way_do_not_count() -> None:
    assert steps(batch(total=3), count=False) == [None] * 8


def test_a_batch_that_was_held_meanwhile_is_forgotten() -> None:
    watch, found = StuckWatch(), batch(total=3)
    watch.observe([found], {BATCH: 1}, count=True)
    watch.end_rotation()
    assert watch.observe([found], {}, count=True) == []
    watch.end_rotation()
    (unheld,) = watch.observe([found], {BATCH: 1}, count=True)
    assert unheld.step is None
