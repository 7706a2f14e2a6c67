"""Decisions after a run that did not finish its item."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import ItemError, RetryRule
from services.dispatcher.domain.retry_policy import MAX_WAITS, GiveUp, RetryDecision, decide_retry

RULE = RetryRule(attempts=3, base_s=2.0, cap_s=10.0)
BROKEN = ItemOutcome(ordinal=1, status="retry", error=ItemError(code="http_500", message="down"))


@pytest.mark.parametrize(("attempt", "bound"), [(1, 2.0), (2, 4.0)])
def test_backoff_doubles_and_is_multiplied_by_jitter(attempt: int, bound: float) -> None:
    assert decide_retry(BROKEN, attempt, 0, RULE, 0.5) == RetryDecision(bound * 0.5, attempt + 1, 0)


def test_last_attempt_fails_with_the_error_of_the_run() -> None:
    assert decide_retry(BROKEN, 3, 0, RULE, 0.5) == GiveUp(ItemError(code="http_500", message="down"))


def test_delay_requested_by_the_destination_uses_no_attempt() -> None:
    limited = ItemOutcome(ordinal=1, status="retry", error=ItemError(code="rate_limited"), delay_s=7)
    assert decide_retry(limited, 3, 4, RULE, 0.5) == RetryDecision(7, 3, 5)


@pytest.mark.parametrize(("waits", "delay_s"), [(0, 1.0), (1, 2.0), (2, 4.0), (9, 5.0), (900, 5.0)])
def test_a_wait_that_a_destination_asks_for_is_no_shorter_than_the_usual_backoff(waits: int, delay_s: float) -> None:
    error = ItemError(code="rate_limited", scope="provider")
    limited = ItemOutcome(ordinal=1, status="retry", error=error, delay_s=0.001)
    assert decide_retry(limited, 1, waits, RULE, 0.5) == RetryDecision(delay_s, 1, waits + 1)
    assert decide_retry(limited.model_copy(update={"delay_s": 60.0}), 1, waits, RULE, 0.5) == RetryDecision(
        60.0, 1, waits + 1
    )


@pytest.mark.parametrize(
    "outcome",
    [
        ItemOutcome(ordinal=1, status="retry", error=ItemError(code="held_back", scope="provider"), delay_s=0.01),
        ItemOutcome(ordinal=1, status="retry", error=ItemError(code="batch_paused"), delay_s=0.01),
        ItemOutcome(ordinal=1, status="continued", state=1, delay_s=0.01),
    ],
)
def test_a_wait_that_no_destination_asked_for_is_kept(outcome: ItemOutcome) -> None:
    assert decide_retry(outcome, 1, 9, RULE, 0.5) == RetryDecision(0.01, 1, 10)


def test_continuation_keeps_its_attempt() -> None:
    running = ItemOutcome(ordinal=1, status="continued", state={"job": "j1"}, delay_s=5)
    assert decide_retry(running, 2, 0, RULE, 0.9) == RetryDecision(5, 2, 1)


def test_waits_are_limited() -> None:
    limited = ItemOutcome(ordinal=1, status="retry", error=ItemError(code="rate_limited"), delay_s=0)
    last = decide_retry(limited, 1, MAX_WAITS, RULE, 0.5)
    assert isinstance(last, GiveUp)
    assert last.error.code == "too_many_waits"


@given(
    attempt=st.integers(1, 200),
    attempts=st.integers(1, 100),
    base=st.floats(0, 1e4),
    cap=st.floats(0, 1e4),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_every_item_ends_and_no_delay_exceeds_the_cap(
    attempt: int, attempts: int, base: float, cap: float, jitter: float
) -> None:
    decision = decide_retry(BROKEN, attempt, 0, RetryRule(attempts=attempts, base_s=base, cap_s=cap), jitter)
    if attempt >= attempts:
        assert isinstance(decision, GiveUp)
    else:
        assert isinstance(decision, RetryDecision)
        assert decision.attempt == attempt + 1
        assert 0 <= decision.delay_s <= cap
