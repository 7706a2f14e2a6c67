"""Decides what follows a run that did not finish its item: another run and its delay, or failure.

Exponential backoff with full jitter: a random share of min(cap, base * 2^(attempt-1)) seconds
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

from dataclasses import dataclass
from uuid import UUID

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import ItemError, RetryRule

MAX_WAITS = 1000
"""Waits that use no attempt (rate limits, continuations) are limited, so that every batch ends."""
_NOT_CALLED = "held_back"
"""Error code of an item whose destination was not called, because it was known to take no calls."""


@dataclass(frozen=True, slots=True)
class Retry:
    """An item that is to run again in `delay_s` seconds; `item` is its line."""

    batch_id: UUID
    ordinal: int
    round: int
    partition: str
    attempt: int
    waits: int
    delay_s: float
    item: bytes
    quarantined: bool = False
    error: ItemError | None = None
    """Error of the last attempt, for people; None: there was none."""


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """The item runs again in `delay_s` seconds."""

    delay_s: float
    attempt: int
    waits: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The item fails for good."""

    error: ItemError


def decide_retry(
    outcome: ItemOutcome, attempt: int, waits: int, rule: RetryRule, jitter: float
) -> RetryDecision | GiveUp:
    """Return what follows the outcome `retry` or `continued`; `jitter` is a random number in [0, 1).

    A wait that a destination asks for is never shorter than the usual backoff after as many waits.
    """
    error = outcome.error or ItemError(code="internal_error")
    if outcome.status == "continued" or outcome.delay_s is not None:
        if waits >= MAX_WAITS:
            return GiveUp(ItemError(code="too_many_waits", message=f"{MAX_WAITS} waits; the last: {error.message}"))
        delay_s = outcome.delay_s or 0.0
        if _was_refused(outcome, error):
            delay_s = max(delay_s, _backoff_s(waits + 1, rule, jitter))
        return RetryDecision(delay_s, attempt, waits + 1)
    if attempt >= rule.attempts:
        return GiveUp(error)
    return RetryDecision(_backoff_s(attempt, rule, jitter), attempt + 1, waits)


def _was_refused(outcome: ItemOutcome, error: ItemError) -> bool:
    """Tell whether a destination was called and named the time of the next call."""
    return outcome.status == "retry" and error.scope == "provider" and not outcome.guessed and error.code != _NOT_CALLED


def _backoff_s(number: int, rule: RetryRule, jitter: float) -> float:
    return min(rule.cap_s, rule.base_s * 2.0 ** min(number - 1, 30)) * jitter
