"""Tests of the decisions about one batch."""

from dataclasses import replace

import pytest

from batchyard_contracts.v1.values import FailureThreshold, Terms
from services.aggregator.domain.batch import Batch, BatchHeader
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.events import finished_event
from services.aggregator.domain.threshold import find_breach
from tests.support.ledger_messages import BATCH, START, at, batch


@pytest.mark.parametrize(
    ("counters", "result"),
    [
        (OutcomeCounters(succeeded=3), "completed"),
        (OutcomeCounters(succeeded=2, duplicate=1), "completed"),
        (OutcomeCounters(succeeded=2, failed=1), "partial"),
        (OutcomeCounters(succeeded=2, expired=1), "partial"),
        (OutcomeCounters(failed=3), "failed"),
        (OutcomeCounters(expired=2, duplicate=1), "failed"),
        (OutcomeCounters(succeeded=2, cancelled=1), "cancelled"),
        (OutcomeCounters(cancelled=3), "cancelled"),
    ],
)
def test_result_of_a_finished_batch_follows_from_its_counters(counters: OutcomeCounters, result: str) -> None:
    ended = batch(total=3).add_outcomes(counters, at(1)).finish_if_complete(at(1))
    assert (ended.status, ended.result, ended.finished_at) == ("finished", result, at(1))


def test_no_round_finishes_before_header_total_and_all_outcomes_are_known() -> None:
    all_ended = OutcomeCounters(succeeded=3)
    assert not batch(total=None, counters=all_ended).finish_if_complete(at(1)).is_finished
    assert not Batch(1, BATCH, total=3, counters=all_ended).finish_if_complete(at(1)).is_finished
    assert not batch(total=4, counters=all_ended).finish_if_complete(at(1)).is_finished


def test_an_empty_batch_finishes_when_it_is_sealed() -> None:
    assert batch().seal(0).finish_if_complete(at(1)).result == "completed"


def test_status_is_open_running_or_paused_while_unfinished() -> None:
    assert batch().status == "open"
    assert batch().seal(3).status == "running"
    assert batch().apply_command("pause", at(1)).status == "paused"


def test_an_older_command_does_not_undo_a_newer_one() -> None:
    resumed = batch(total=3).apply_command("resume", at(2)).apply_command("pause", at(1))
    assert not resumed.paused
    changed = batch().change(at(2), "low", Terms(), ()).change(at(1), "immediate", Terms(), ())
    assert changed.priority == "low"


def test_of_two_commands_of_one_time_the_first_holds() -> None:
    """The dispatcher decides alike. Ingest gives no two commands of a batch one time."""
    assert batch(total=3).apply_command("pause", at(1)).apply_command("resume", at(1)).paused


def test_commands_that_arrive_before_the_header_apply() -> None:
    early = Batch(1, BATCH).change(at(1), "low", Terms(), ()).apply_command("pause", at(1))
    known = early.accept(BatchHeader("ann", "noop", START), "normal", 3)
    assert (known.priority, known.status, known.total) == ("low", "paused", 3)


def test_a_repeated_header_changes_nothing() -> None:
    known = batch(total=5, priority="low")
    assert known.accept(BatchHeader("eve", "other", at(9)), "immediate", None) == known


def test_a_finished_batch_stays_finished_and_takes_a_new_priority() -> None:
    ended = batch(total=1, counters=OutcomeCounters(failed=1)).finish_if_complete(at(1))
    assert ended.apply_command("pause", at(2)).apply_command("cancel", at(2)).status == "finished"
    assert ended.change(at(2), "immediate", Terms(), ()).priority == "immediate"


def test_only_commands_newer_than_the_retry_apply_to_the_new_round() -> None:
    ended = batch(total=1, counters=OutcomeCounters(failed=1)).finish_if_complete(at(1))
    retry_at = at(3)
    early = (
        ended.apply_command("pause", at(2))
        .apply_command("cancel", at(2))
        .reopen(OutcomeCounters(failed=1), retry_at, at(9))
    )
    assert (early.status, early.cancel_asked_at) == ("running", None)
    late = (
        ended.apply_command("pause", at(4))
        .apply_command("cancel", at(4))
        .reopen(OutcomeCounters(failed=1), retry_at, at(9))
    )
    assert (late.status, late.cancel_asked_at) == ("paused", at(4))


def test_the_newest_value_of_each_term_applies() -> None:
    known = batch().change(at(2), None, Terms(weight=2, concurrency=5), ())
    known = known.change(at(3), None, Terms(), ["concurrency"]).change(at(1), None, Terms(weight=9, concurrency=9), ())
    assert known.terms == Terms(weight=2)
    assert known.accept(BatchHeader("ann", "noop", START), "normal", 1, Terms(weight=7)).terms == Terms(weight=2)


def test_of_two_commands_at_one_time_the_first_applies() -> None:
    changed = batch().change(at(1), "low", Terms(weight=2), ()).change(at(1), "normal", Terms(weight=3), ["deadline"])
    assert (changed.priority, changed.terms) == ("low", Terms(weight=2))
    assert not batch(total=3).apply_command("resume", at(1)).apply_command("pause", at(1)).paused


LIMITED = Terms(failure_threshold=FailureThreshold(count=3))


def test_a_threshold_stops_a_batch_once_and_the_result_is_cancelled() -> None:
    limited = batch(total=9).change(at(1), None, LIMITED, ())
    assert limited.add_outcomes(OutcomeCounters(failed=3), at(2)).check_threshold({}).stop_reason is None
    stopped = limited.add_outcomes(OutcomeCounters(failed=4), at(2)).check_threshold({})
    assert (stopped.stop_reason, stopped.breach) == (
        "failure_threshold",
        "4 items have failed; the batch stops at more than 3.",
    )
    assert stopped.active_threshold is None
    ended = stopped.add_outcomes(OutcomeCounters(succeeded=2, cancelled=3), at(3)).finish_if_complete(at(3))
    assert (ended.result, finished_event(ended).stop_reason) == ("cancelled", "failure_threshold")


def test_a_threshold_that_the_last_item_exceeds_applies() -> None:
    last = batch(total=5).change(at(1), None, LIMITED, ()).add_outcomes(OutcomeCounters(failed=4, succeeded=1), at(2))
    assert last.check_threshold({}).finish_if_complete(at(2)).result == "cancelled"


def test_a_threshold_applies_to_each_round_separately() -> None:
    first = (
        batch(total=9)
        .change(at(1), None, LIMITED, ())
        .add_outcomes(OutcomeCounters(failed=9), at(2))
        .check_threshold({})
        .finish_if_complete(at(2))
    )
    second = first.reopen(OutcomeCounters(failed=4), at(3), at(3))
    assert (
        second.stop_reason,
        second.add_outcomes(OutcomeCounters(failed=3), at(4)).check_threshold({}).stop_reason,
    ) == (
        None,
        None,
    )
    assert second.add_outcomes(OutcomeCounters(failed=4), at(4)).check_threshold({}).stop_reason == "failure_threshold"


def test_a_threshold_is_looked_at_only_once_something_of_the_round_has_failed() -> None:
    limited = batch(total=9).change(at(1), None, LIMITED, ())
    assert limited.add_outcomes(OutcomeCounters(succeeded=5, cancelled=2), at(2)).active_threshold is None
    assert limited.add_outcomes(OutcomeCounters(failed=1), at(2)).active_threshold == LIMITED.failure_threshold
    reopened = replace(limited, failed_before=3)
    assert [replace(reopened, counters=OutcomeCounters(failed=n)).active_threshold is None for n in (3, 4)] == [
        True,
        False,
    ]
    assert batch(total=9, counters=OutcomeCounters(failed=1)).active_threshold is None, "it has no terms"


def test_a_stop_of_another_or_finished_round_changes_nothing() -> None:
    running = batch(total=2)
    assert running.stop("deadline", 2, at(1)) == running
    expired = running.stop("deadline", 1, at(1))
    assert expired.stop("never_sealed", 1, at(2)) == expired
    ended = expired.add_outcomes(OutcomeCounters(succeeded=1, expired=1), at(2)).finish_if_complete(at(2))
    assert (ended.result, finished_event(ended).stop_reason) == ("partial", "deadline")
    assert ended.stop("never_sealed", 1, at(3)) == ended


@pytest.mark.parametrize(
    ("bound", "failed", "ended", "codes", "all_ended", "stops"),
    [
        (FailureThreshold(count=0), 1, 1, {}, False, True),
        (FailureThreshold(count=5), 5, 5, {}, True, False),
        (FailureThreshold(share=0.1), 99, 99, {}, False, False),
        (FailureThreshold(share=0.1), 11, 100, {}, False, True),
        (FailureThreshold(share=0.1), 10, 100, {}, False, False),
        (FailureThreshold(share=0.1), 2, 10, {}, True, True),
        (FailureThreshold(codes={"captcha": 5}), 90, 100, {"captcha": 5}, False, False),
        (FailureThreshold(codes={"captcha": 5}), 6, 100, {"captcha": 6}, False, True),
        (FailureThreshold(), 10, 10, {}, True, False),
    ],
)
def test_find_breach_compares_count_share_and_codes(
    bound: FailureThreshold, failed: int, ended: int, codes: dict[str, int], all_ended: bool, stops: bool
) -> None:
    assert (find_breach(bound, failed, ended, codes, all_ended=all_ended) is not None) is stops


def test_a_cancel_applies_to_its_round_only() -> None:
    asked = batch(total=1).apply_command("cancel", at(1))
    assert asked.cancel_asked_at == at(1)
    reopened = asked.add_outcomes(OutcomeCounters(cancelled=1), at(2)).finish_if_complete(at(2))
    reopened = reopened.reopen(OutcomeCounters(cancelled=1), at(3), at(3))
    assert reopened.cancel_asked_at is None
    assert reopened.apply_command("cancel", at(1)).cancel_asked_at is None


def test_a_retry_reopens_a_finished_batch_once() -> None:
    running = batch(total=2, counters=OutcomeCounters(failed=1))
    assert not running.can_reopen(at(9))
    ended = running.add_outcomes(OutcomeCounters(succeeded=1), at(1)).finish_if_complete(at(1))
    assert ended.can_reopen(at(2))
    second = ended.reopen(OutcomeCounters(failed=1), at(2), at(3))
    assert (second.round, second.counters, second.status, second.result) == (
        2,
        OutcomeCounters(succeeded=1),
        "running",
        None,
    )
    third = second.add_outcomes(OutcomeCounters(failed=1), at(4)).finish_if_complete(at(4))
    assert not third.can_reopen(at(2)), "the same command, delivered again"
    assert third.can_reopen(at(5))


def test_a_completed_batch_cannot_be_reopened() -> None:
    assert not batch(total=1, counters=OutcomeCounters(succeeded=1)).finish_if_complete(at(1)).can_reopen(at(2))


def test_a_retry_of_a_running_batch_has_no_effect_later() -> None:
    running = batch(total=1).apply_command("retry", at(1))
    ended = running.add_outcomes(OutcomeCounters(failed=1), at(2)).finish_if_complete(at(2))
    assert not ended.can_reopen(at(1))


def test_counted_rows_correct_the_counters_of_an_unfinished_batch() -> None:
    wrong = batch(total=3, counters=OutcomeCounters(succeeded=1))
    assert wrong.reconcile(OutcomeCounters(succeeded=3)).finish_if_complete(at(1)).result == "completed"
    ended = batch(total=1, counters=OutcomeCounters(succeeded=1)).finish_if_complete(at(1))
    assert ended.reconcile(OutcomeCounters()) == ended


def test_statuses_that_are_not_terminal_are_never_counted() -> None:
    with pytest.raises(TypeError, match="retry"):
        OutcomeCounters.of({"retry": 1})


@pytest.mark.parametrize(
    ("has_source", "total", "counters", "expected"),
    [
        (True, None, OutcomeCounters(failed=1), True),
        (True, None, OutcomeCounters(cancelled=1), True),
        (True, None, OutcomeCounters(expired=1), True),
        (True, None, OutcomeCounters(succeeded=1), False),
        (True, None, OutcomeCounters(), False),
        (True, 5, OutcomeCounters(failed=1), False),
        (False, None, OutcomeCounters(failed=1), False),
    ],
)
def test_a_source_may_have_failed_while_its_items_are_still_awaited(
    has_source: bool, total: int | None, counters: OutcomeCounters, expected: bool
) -> None:
    found = batch(header=BatchHeader("ann", "noop", START, has_source=has_source), total=total, counters=counters)
    assert found.source_may_have_failed is expected
    assert found.can_use_fast_path is not expected
    assert not Batch(1, BATCH, counters=counters).source_may_have_failed
