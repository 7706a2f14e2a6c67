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
