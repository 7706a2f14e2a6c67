"""Decisions about one batch."""

import pytest

from batchyard_contracts.v1.values import FailureThreshold, Terms
from services.aggregator.domain.batch import Batch, Header
from services.aggregator.domain.counters import Tally
from services.aggregator.domain.events import finished
from services.aggregator.domain.threshold import met
from tests.support.ledger_messages import BATCH, START, at, batch


@pytest.mark.parametrize(
    ("tally", "result"),
    [
        (Tally(succeeded=3), "completed"),
        (Tally(succeeded=2, duplicate=1), "completed"),
        (Tally(succeeded=2, failed=1), "partial"),
        (Tally(succeeded=2, expired=1), "partial"),
        (Tally(failed=3), "failed"),
        (Tally(expired=2, duplicate=1), "failed"),
        (Tally(succeeded=2, cancelled=1), "cancelled"),
        (Tally(cancelled=3), "cancelled"),
    ],
)
def test_how_a_batch_ends(tally: Tally, result: str) -> None:
    ended = batch(total=3).record(tally, at(1)).conclude(at(1))
    assert (ended.status, ended.result, ended.finished_at) == ("finished", result, at(1))


def test_nothing_ends_before_everything_is_known() -> None:
    all_ended = Tally(succeeded=3)
    assert not batch(total=None, tally=all_ended).conclude(at(1)).finished
    assert not Batch(1, BATCH, total=3, tally=all_ended).conclude(at(1)).finished
    assert not batch(total=4, tally=all_ended).conclude(at(1)).finished


def test_an_empty_batch_ends_when_it_is_sealed() -> None:
    assert batch().seal(0).conclude(at(1)).result == "completed"


def test_status() -> None:
    assert batch().status == "open"
    assert batch().seal(3).status == "running"
    assert batch().steer("pause", at(1)).status == "paused"


def test_an_older_command_does_not_undo_a_newer_one() -> None:
    resumed = batch(total=3).steer("resume", at(2)).steer("pause", at(1))
    assert not resumed.paused
    changed = batch().change(at(2), "low", Terms(), ()).change(at(1), "immediate", Terms(), ())
    assert changed.priority == "low"


def test_a_command_before_the_header() -> None:
    early = Batch(1, BATCH).change(at(1), "low", Terms(), ()).steer("pause", at(1))
    known = early.accept(Header("ann", "noop", START), "normal", 3)
    assert (known.priority, known.status, known.total) == ("low", "paused", 3)


def test_a_header_told_again_changes_nothing() -> None:
    known = batch(total=5, priority="low")
    assert known.accept(Header("eve", "other", at(9)), "immediate", None) == known


def test_commands_to_a_finished_batch() -> None:
    ended = batch(total=1, tally=Tally(failed=1)).conclude(at(1))
    assert ended.steer("pause", at(2)).steer("cancel", at(2)).status == "finished"
    assert ended.change(at(2), "immediate", Terms(), ()).priority == "immediate"


def test_a_new_round_obeys_what_was_told_after_the_retry_that_opened_it() -> None:
    ended = batch(total=1, tally=Tally(failed=1)).conclude(at(1))
    retry_at = at(3)
    early = ended.steer("pause", at(2)).steer("cancel", at(2)).reopen(Tally(failed=1), retry_at, at(9))
    assert (early.status, early.cancel_asked_at) == ("running", None)
    late = ended.steer("pause", at(4)).steer("cancel", at(4)).reopen(Tally(failed=1), retry_at, at(9))
    assert (late.status, late.cancel_asked_at) == ("paused", at(4))


def test_each_term_has_its_time() -> None:
    told = batch().change(at(2), None, Terms(weight=2, concurrency=5), ())
    told = told.change(at(3), None, Terms(), ["concurrency"]).change(at(1), None, Terms(weight=9, concurrency=9), ())
    assert told.terms == Terms(weight=2)
    assert told.accept(Header("ann", "noop", START), "normal", 1, Terms(weight=7)).terms == Terms(weight=2)


LIMITED = Terms(failure_threshold=FailureThreshold(count=3))


def test_a_threshold_stops_a_batch_once_and_it_ends_as_cancelled() -> None:
    limited = batch(total=9).change(at(1), None, LIMITED, ())
    assert limited.record(Tally(failed=3), at(2)).judge({}).stopped is None
    stopped = limited.record(Tally(failed=4), at(2)).judge({})
    assert (stopped.stopped, stopped.verdict) == (
        "failure_threshold",
        "4 items have failed; the batch stops at more than 3.",
    )
    assert stopped.threshold is None
    ended = stopped.record(Tally(succeeded=2, cancelled=3), at(3)).conclude(at(3))
    assert (ended.result, finished(ended).stopped) == ("cancelled", "failure_threshold")


def test_a_threshold_that_the_last_item_meets_counts_as_well() -> None:
    last = batch(total=5).change(at(1), None, LIMITED, ()).record(Tally(failed=4, succeeded=1), at(2))
    assert last.judge({}).conclude(at(2)).result == "cancelled"


def test_a_threshold_judges_its_round_alone() -> None:
    first = batch(total=9).change(at(1), None, LIMITED, ()).record(Tally(failed=9), at(2)).judge({}).conclude(at(2))
    second = first.reopen(Tally(failed=4), at(3), at(3))
    assert (second.stopped, second.record(Tally(failed=3), at(4)).judge({}).stopped) == (None, None)
    assert second.record(Tally(failed=4), at(4)).judge({}).stopped == "failure_threshold"


def test_a_stop_of_another_round_or_of_a_finished_one_is_late() -> None:
    running = batch(total=2)
    assert running.stop("deadline", 2, at(1)) == running
    expired = running.stop("deadline", 1, at(1))
    assert expired.stop("never_sealed", 1, at(2)) == expired
    ended = expired.record(Tally(succeeded=1, expired=1), at(2)).conclude(at(2))
    assert (ended.result, finished(ended).stopped) == ("partial", "deadline")
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
def test_bounds(
    bound: FailureThreshold, failed: int, ended: int, codes: dict[str, int], all_ended: bool, stops: bool
) -> None:
    assert (met(bound, failed, ended, codes, all_ended=all_ended) is not None) is stops


def test_a_cancel_is_remembered_for_its_round() -> None:
    asked = batch(total=1).steer("cancel", at(1))
    assert asked.cancel_asked_at == at(1)
    reopened = asked.record(Tally(cancelled=1), at(2)).conclude(at(2))
    reopened = reopened.reopen(Tally(cancelled=1), at(3), at(3))
    assert reopened.cancel_asked_at is None
    assert reopened.steer("cancel", at(1)).cancel_asked_at is None


def test_what_a_retry_opens() -> None:
    running = batch(total=2, tally=Tally(failed=1))
    assert not running.reopens(at(9))
    ended = running.record(Tally(succeeded=1), at(1)).conclude(at(1))
    assert ended.reopens(at(2))
    second = ended.reopen(Tally(failed=1), at(2), at(3))
    assert (second.round, second.tally, second.status, second.result) == (2, Tally(succeeded=1), "running", None)
    third = second.record(Tally(failed=1), at(4)).conclude(at(4))
    assert not third.reopens(at(2)), "the same command, delivered again"
    assert third.reopens(at(5))


def test_nothing_to_retry() -> None:
    assert not batch(total=1, tally=Tally(succeeded=1)).conclude(at(1)).reopens(at(2))


def test_a_retry_that_came_too_early_stays_without_effect() -> None:
    running = batch(total=1).steer("retry", at(1))
    ended = running.record(Tally(failed=1), at(2)).conclude(at(2))
    assert not ended.reopens(at(1))


def test_counted_rows_correct_the_counters_of_an_unfinished_batch() -> None:
    wrong = batch(total=3, tally=Tally(succeeded=1))
    assert wrong.corrected(Tally(succeeded=3)).conclude(at(1)).result == "completed"
    ended = batch(total=1, tally=Tally(succeeded=1)).conclude(at(1))
    assert ended.corrected(Tally()) == ended


def test_statuses_that_are_not_terminal_are_never_counted() -> None:
    with pytest.raises(TypeError, match="retry"):
        Tally.of({"retry": 1})


@pytest.mark.parametrize(
    ("sourced", "total", "tally", "expected"),
    [
        (True, None, Tally(failed=1), True),
        (True, None, Tally(cancelled=1), True),
        (True, None, Tally(expired=1), True),
        (True, None, Tally(succeeded=1), False),
        (True, None, Tally(), False),
        (True, 5, Tally(failed=1), False),
        (False, None, Tally(failed=1), False),
    ],
)
def test_a_source_may_have_failed_while_its_items_are_still_awaited(
    sourced: bool, total: int | None, tally: Tally, expected: bool
) -> None:
    found = batch(header=Header("ann", "noop", START, sourced=sourced), total=total, tally=tally)
    assert found.source_may_have_failed is expected
    assert found.plain is not expected
    assert not Batch(1, BATCH, tally=tally).source_may_have_failed
