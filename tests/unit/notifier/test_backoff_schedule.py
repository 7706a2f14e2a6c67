"""Tests of when a delivery is retried."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.notifier.domain.attempt import Attempt, decide, has_exhausted_attempts
from services.notifier.domain.backoff_schedule import DEFAULT_DELAYS_S, JITTER, MAX_RETRY_AFTER_S, BackoffSchedule

NOW = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
REFUSED = Attempt("retry", "HTTP 500", 500)


def test_an_endpoint_that_never_recovers_is_tried_eight_times_over_28_hours() -> None:
    clock = NOW + timedelta(seconds=BackoffSchedule().first_delay())
    tried = []
    for number in range(1, 100):
        tried.append((clock - NOW).total_seconds())
        decision = decide(number, REFUSED, BackoffSchedule(), jitter=0.0)
        if decision.state != "pending":
            break
        clock += timedelta(seconds=decision.delay_s)
    assert tried == [0, 5, 305, 2105, 9305, 27305, 63305, 99305]
    assert decision.state == "failed"
    assert decision.reason == "HTTP 500 (attempt 8, the last)"


@given(number=st.integers(1, 7), jitter=st.floats(0, 1, exclude_max=True))
def test_jitter_only_extends_the_delay(number: int, jitter: float) -> None:
    wait = decide(number, REFUSED, BackoffSchedule(), jitter).delay_s
    assert DEFAULT_DELAYS_S[number] <= wait <= DEFAULT_DELAYS_S[number] * (1 + JITTER)


@given(number=st.integers(1, 7), asked=st.floats(0, 1e9), jitter=st.floats(0, 1, exclude_max=True))
def test_delay_is_at_least_retry_after_and_schedule_and_at_most_a_day(number: int, asked: float, jitter: float) -> None:
    decision = decide(number, Attempt("retry", "HTTP 429", 429, retry_after_s=asked), BackoffSchedule(), jitter)
    assert decision.state == "pending"
    assert decision.delay_s >= DEFAULT_DELAYS_S[number]
    assert decision.delay_s >= min(asked, MAX_RETRY_AFTER_S)
    assert decision.delay_s <= max(MAX_RETRY_AFTER_S, DEFAULT_DELAYS_S[number]) * (1 + JITTER)


def test_success_and_final_failure_end_a_delivery_at_any_attempt() -> None:
    for number in (1, 4, 8, 20):
        assert decide(number, Attempt("delivered", "", 200), BackoffSchedule(), 0.5).state == "delivered"
        assert decide(number, Attempt("give_up", "gone"), BackoffSchedule(), 0.5).state == "failed"


def test_a_delivery_that_kills_the_process_is_attempted_three_more_times() -> None:
    assert [has_exhausted_attempts(number, BackoffSchedule((0.0, 1.0))) for number in range(1, 8)] == [False] * 5 + [
        True
    ] * 2
