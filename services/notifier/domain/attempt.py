"""The outcome of one delivery attempt, and the decision that follows from it."""

from dataclasses import dataclass
from typing import Literal

from services.notifier.domain.backoff_schedule import BackoffSchedule

AttemptOutcome = Literal["delivered", "retry", "give_up"]
State = Literal["pending", "delivered", "failed"]

GONE = 410
RETRY_AFTER_STATUSES = frozenset({429, 503})
"""HTTP statuses whose `Retry-After` is obeyed."""
MAX_LOST_ATTEMPTS = 3
"""Attempts beyond the schedule that make up for attempts whose process died before it recorded an outcome."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Result of one attempt. `reason` is a few words without user data, fit for logs; empty when delivered."""

    outcome: AttemptOutcome
    reason: str = ""
    status: int | None = None
    """HTTP status or SMTP code; None if the other side did not answer."""
    reply: str = ""
    """Beginning of the other side's response; not for logs."""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class DeliveryDecision:
    """Next state of a delivery; if it is `pending`, `delay_s` is the time until its next attempt."""

    state: State
    reason: str = ""
    delay_s: float = 0.0


def http_attempt(status: int, reply: str = "", retry_after_s: float | None = None) -> Attempt:
    """Classify a webhook's response (Standard Webhooks 1.0): 2xx is success, 410 is final, anything else is retried."""
    if 200 <= status < 300:
        return Attempt("delivered", "", status, reply)
    if status == GONE:
        return Attempt("give_up", "HTTP 410: the address is gone", status, reply)
    reason = f"HTTP {status}" + (": redirects are not followed" if 300 <= status < 400 else "")
    return Attempt("retry", reason, status, reply, retry_after_s if status in RETRY_AFTER_STATUSES else None)


def smtp_attempt(code: int, reply: str = "") -> Attempt:
    """Classify an SMTP refusal: 5xx is final, anything else is retried (greylisting, a full disk)."""
    return Attempt("give_up" if 500 <= code < 600 else "retry", f"SMTP {code}", code, reply)


def decide(number: int, attempt: Attempt, schedule: BackoffSchedule, jitter: float) -> DeliveryDecision:
    """Decide the next state of a delivery after attempt `number`, counted from 1. `jitter` is in [0, 1)."""
    if attempt.outcome == "delivered":
        return DeliveryDecision("delivered")
    if attempt.outcome == "give_up":
        return DeliveryDecision("failed", attempt.reason)
    wait = schedule.delay_after(number, jitter, attempt.retry_after_s)
    if wait is None:
        return DeliveryDecision("failed", f"{attempt.reason} (attempt {number}, the last)")
    return DeliveryDecision("pending", attempt.reason, wait)


def has_exhausted_attempts(number: int, schedule: BackoffSchedule) -> bool:
    """Tell whether attempt `number` must not be made because the attempts before it ended the process each time."""
    return number > len(schedule.delays_s) + MAX_LOST_ATTEMPTS
