"""Decisions about one batch."""

import pytest

from services.aggregator.domain.batch import Batch, Header
from services.aggregator.domain.tally import Tally
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
    changed = batch().steer("change", at(2), "low").steer("change", at(1), "immediate")
    assert changed.priority == "low"


def test_a_command_before_the_header() -> None:
    early = Batch(1, BATCH).steer("change", at(1), "low").steer("pause", at(1))
    known = early.accept(Header("ann", "noop", START), "normal", 3)
    assert (known.priority, known.status, known.total) == ("low", "paused", 3)


def test_a_header_told_again_changes_nothing() -> None:
    known = batch(total=5, priority="low")
    assert known.accept(Header("eve", "other", at(9)), "immediate", None) == known


def test_commands_to_a_finished_batch() -> None:
    ended = batch(total=1, tally=Tally(failed=1)).conclude(at(1))
    assert ended.steer("pause", at(2)) == ended
    assert ended.steer("cancel", at(2)) == ended
    assert ended.steer("change", at(2), "immediate").priority == "immediate"


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
