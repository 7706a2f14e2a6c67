"""A batch between its last outcome and its summary: nothing but the summary, or its absence, ends it."""

from dataclasses import replace

import pytest

from batchyard_contracts.v1.values import Counts, FailureThreshold, Terms
from batchyard_contracts.v1.work import SummaryWanted
from services.aggregator.domain.batch import Batch, Header
from services.aggregator.domain.counters import Tally
from services.aggregator.domain.summary import Patience, Summary, wanted
from tests.support.ledger_messages import BATCH, START, at, batch


def summarized(total: int = 3, *, sourced: bool = False) -> Batch:
    return replace(batch(total=total), header=Header("ann", "noop", START, summarize=True, sourced=sourced))


def waiting(tally: Tally) -> Batch:
    return summarized().record(tally, at(1)).conclude(at(1))


def test_it_waits_for_the_summary_of_what_succeeded() -> None:
    found = waiting(Tally(succeeded=2, failed=1))
    assert (found.summarizing, found.finished, found.summary_due_at) == (True, False, at(1))
    assert found.conclude(at(2)) == found
    ended = found.summarized(1, at(3))
    assert (ended.summarizing, ended.result, ended.finished_at) == (False, "partial", at(3))


def test_nothing_succeeded_and_nothing_is_waited_for() -> None:
    assert waiting(Tally(failed=2, cancelled=1)).result == "cancelled"
    alone = summarized(1, sourced=True).record(Tally(succeeded=1), at(1)).conclude(at(1))
    assert alone.result == "completed", "what a source comes to is no result of the workload"


def test_what_a_cancelled_batch_has_made_is_summed_up() -> None:
    found = waiting(Tally(succeeded=1, cancelled=2))
    assert found.summarizing
    assert found.summarized(1, at(2)).result == "cancelled"


def test_nothing_stops_what_lacks_only_its_summary() -> None:
    found = waiting(Tally(succeeded=2, failed=1))
    assert found.stop("deadline", 1, at(2)) == found
    strict = found.change(at(2), None, Terms(failure_threshold=FailureThreshold(count=0)), ())
    assert strict.judge({}).stopped is None
    assert not found.reopens(at(2)), "a retry is for what has ended"


def test_a_summary_of_another_round_or_of_what_still_runs_ends_nothing() -> None:
    found = waiting(Tally(succeeded=3))
    assert found.summarized(2, at(2)) == found
    mended = found.corrected(Tally(succeeded=2))
    assert mended.summarized(1, at(2)) == mended, "an item turned out to be missing"
    assert summarized().summarized(1, at(2)) == summarized()


def test_a_worker_has_more_time_for_more_results_within_a_bound() -> None:
    patience = Patience(times=2, base_s=60)
    few, many = (replace(batch(), tally=Tally(succeeded=number)) for number in (100, 100_000_000))
    assert (patience.limit_s(few), patience.limit_s(many)) == (60.1, 1500)
    asked = few.asked_for_summary(at(1))
    assert (patience.exhausted(asked), patience.exhausted(asked.asked_for_summary(at(2)))) == (False, True)


def test_what_a_worker_says_is_bounded() -> None:
    assert Summary.told({"n": 1}, None) == Summary({"n": 1})
    assert Summary.told({"n": 1}, "broken") == Summary(error="broken")
    assert "65536 are kept" in (Summary.told("x" * 65_535, None).error or "")


def test_a_try_is_over_a_quarter_of_a_minute_after_the_workers_limit() -> None:
    assert Patience(times=2, base_s=60).wait_s(replace(batch(), tally=Tally(succeeded=5000))) == 80


def test_when_nobody_answers_the_summary_says_what_to_look_at() -> None:
    found = Patience(times=3, base_s=60).nobody_answered(summarized())
    assert found.value is None
    assert found.error is not None
    assert "the summary of noop, though it was asked for 3 times, 75 s each" in found.error
    assert "work.noop.summary" in found.error
    assert Patience(times=3, base_s=60).nobody_answered(Batch(1, BATCH)).error, "its header may be unknown"


@pytest.mark.parametrize(("sourced", "told"), [(True, True), (False, None)])
def test_the_request_for_a_summary_names_the_round_its_counts_and_the_limit(sourced: bool, told: bool | None) -> None:
    found = replace(summarized(sourced=sourced), round=2)
    counts = Counts(total=3, succeeded=3)
    assert wanted(found, counts, 61.5) == SummaryWanted(
        batch_id=BATCH, owner="ann", workload="noop", round=2, counts=counts, sourced=told, limit_s=61.5
    )


def test_no_summary_is_asked_for_of_a_batch_without_a_header() -> None:
    with pytest.raises(ValueError, match="not known"):
        wanted(Batch(1, BATCH), Counts(), 60.0)
