"""What came of one attempt to tell somebody, and what follows from it."""

from dataclasses import dataclass
from typing import Literal

from services.notifier.domain.backoff_schedule import Schedule

Verdict = Literal["delivered", "try_again", "give_up"]
State = Literal["pending", "delivered", "failed"]

GONE = 410
WAITS = frozenset({429, 503})
"""HTTP statuses whose `Retry-After` is obeyed."""
LOST_ATTEMPTS = 3
"""Attempts beyond the schedule, for those whose process died before it could say what came of them."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The end of one attempt. `reason` is a few words without user data, fit for logs; empty when delivered."""

    verdict: Verdict
    reason: str = ""
    status: int | None = None
    """The HTTP status or SMTP code, when the other side answered."""
    reply: str = ""
    """The beginning of what the other side said; not for logs."""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The state a delivery takes, and with `pending` how long it waits."""

    state: State
    reason: str = ""
    wait_s: float = 0.0


def http_attempt(status: int, reply: str = "", retry_after_s: float | None = None) -> Attempt:
    """Read a webhook's answer (Standard Webhooks 1.0): 2xx is success, 410 is final, all else may pass."""
    if 200 <= status < 300:
        return Attempt("delivered", "", status, reply)
    if status == GONE:
        return Attempt("give_up", "http 410: the endpoint is gone", status, reply)
    reason = f"http {status}" + (": redirects are not followed" if 300 <= status < 400 else "")
    return Attempt("try_again", reason, status, reply, retry_after_s if status in WAITS else None)


def smtp_attempt(code: int, reply: str = "") -> Attempt:
    """Read an SMTP refusal: 5xx is final, all else may pass (greylisting, a full disk)."""
    return Attempt("give_up" if 500 <= code < 600 else "try_again", f"smtp {code}", code, reply)


def decide(number: int, attempt: Attempt, schedule: Schedule, jitter: float) -> Decision:
    """What becomes of a delivery after its attempt `number`, counted from 1. `jitter` is from 0 to below 1."""
    if attempt.verdict == "delivered":
        return Decision("delivered")
    if attempt.verdict == "give_up":
        return Decision("failed", attempt.reason)
    wait = schedule.wait_after(number, jitter, attempt.retry_after_s)
    if wait is None:
        return Decision("failed", f"{attempt.reason} (attempt {number}, the last)")
    return Decision("pending", attempt.reason, wait)


def overdrawn(number: int, schedule: Schedule) -> bool:
    """Whether attempt `number` must not be made: those before it ended the process each time."""
    return number > len(schedule.delays_s) + LOST_ATTEMPTS
