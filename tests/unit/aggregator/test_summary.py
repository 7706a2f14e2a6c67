"""Tests of a batch that awaits its summary, and of the summary's limits and retries."""

from dataclasses import replace

import pytest

from batchyard_contracts.v1.values import Counts, FailureThreshold, Terms
from batchyard_contracts.v1.work import SummaryRequested
from services.aggregator.domain.batch import Batch, BatchHeader
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.summary import Summary, SummaryRetryPolicy, summary_request
from tests.support.ledger_messages import BATCH, START, at, batch


def summarized(total: int = 3, *, has_source: bool = False) -> Batch:
    return replace(
        batch(total=total), header=BatchHeader("ann", "noop", START, has_summary=True, has_source=has_source)
    )


def waiting(counters: OutcomeCounters) -> Batch:
    return summarized().add_outcomes(counters, at(1)).finish_if_complete(at(1))


def test_a_round_with_successes_waits_for_its_summary() -> None:
    found = waiting(OutcomeCounters(succeeded=2, failed=1))
    assert (found.is_awaiting_summary, found.is_finished, found.summary_due_at) == (True, False, at(1))
    assert found.finish_if_complete(at(2)) == found
    ended = found.finish_summarized(1, at(3))
    assert (ended.is_awaiting_summary, ended.result, ended.finished_at) == (False, "partial", at(3))


def test_a_round_without_successes_ends_without_a_summary() -> None:
    assert waiting(OutcomeCounters(failed=2, cancelled=1)).result == "cancelled"
    alone = summarized(1, has_source=True).add_outcomes(OutcomeCounters(succeeded=1), at(1)).finish_if_complete(at(1))
    assert alone.result == "completed", "what a source comes to is no result of the workload"


def test_a_cancelled_batch_with_successes_waits_for_its_summary() -> None:
    found = waiting(OutcomeCounters(succeeded=1, cancelled=2))
    assert found.is_awaiting_summary
    assert found.finish_summarized(1, at(2)).result == "cancelled"


def test_no_stop_or_retry_applies_while_the_summary_is_awaited() -> None:
    found = waiting(OutcomeCounters(succeeded=2, failed=1))
    assert found.stop("deadline", 1, at(2)) == found
    strict = found.change(at(2), None, Terms(failure_threshold=FailureThreshold(count=0)), ())
    assert strict.check_threshold({}).stop_reason is None
    assert not found.can_reopen(at(2)), "a retry is for what has ended"


def test_a_summary_of_another_or_running_round_ends_nothing() -> None:
    found = waiting(OutcomeCounters(succeeded=3))
    assert found.finish_summarized(2, at(2)) == found
    mended = found.reconcile(OutcomeCounters(succeeded=2))
    assert mended.finish_summarized(1, at(2)) == mended, "an item turned out to be missing"
    assert summarized().finish_summarized(1, at(2)) == summarized()


def test_the_timeout_grows_with_the_results_up_to_a_bound() -> None:
    retry_policy = SummaryRetryPolicy(max_attempts=2, base_timeout_s=60)
    few, many = (replace(batch(), counters=OutcomeCounters(succeeded=number)) for number in (100, 100_000_000))
    assert (retry_policy.timeout_s(few), retry_policy.timeout_s(many)) == (60.1, 1500)
    asked = few.record_summary_request(at(1))
    assert (retry_policy.is_exhausted(asked), retry_policy.is_exhausted(asked.record_summary_request(at(2)))) == (
        False,
        True,
    )


def test_a_summary_larger_than_the_limit_becomes_an_error() -> None:
    assert Summary.received({"n": 1}, None) == Summary({"n": 1})
    assert Summary.received({"n": 1}, "broken") == Summary(error="broken")
    assert "65536 are kept" in (Summary.received("x" * 65_535, None).error or "")


def test_a_request_is_repeated_15_s_after_the_workers_timeout() -> None:
    assert (
        SummaryRetryPolicy(max_attempts=2, base_timeout_s=60).retry_after_s(
            replace(batch(), counters=OutcomeCounters(succeeded=5000))
        )
        == 80
    )


def test_a_missing_summary_names_what_to_check() -> None:
    found = SummaryRetryPolicy(max_attempts=3, base_timeout_s=60).missing_summary(summarized())
    assert found.value is None
    assert found.error is not None
    assert "the summary of noop, although it was requested 3 times, 75 s each" in found.error
    assert "work.noop.summary" in found.error
    assert SummaryRetryPolicy(max_attempts=3, base_timeout_s=60).missing_summary(Batch(1, BATCH)).error, (
        "its header may be unknown"
    )


@pytest.mark.parametrize(("has_source", "expected"), [(True, True), (False, None)])
def test_the_request_for_a_summary_names_the_round_its_counts_and_the_limit(
    has_source: bool, expected: bool | None
) -> None:
    found = replace(summarized(has_source=has_source), round=2)
    counts = Counts(total=3, succeeded=3)
    assert summary_request(found, counts, 61.5) == SummaryRequested(
        batch_id=BATCH, owner="ann", workload="noop", round=2, counts=counts, has_source=expected, timeout_s=61.5
    )


def test_a_summary_request_requires_a_header() -> None:
    with pytest.raises(ValueError, match="not known"):
        summary_request(Batch(1, BATCH), Counts(), 60.0)
