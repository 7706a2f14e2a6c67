"""Decides on a submission that a service makes under an id that only one row keeps, once it was refused."""

from dataclasses import dataclass
from datetime import timedelta

from services.ingest.domain.rejection import Rejection

_RETRY = timedelta(seconds=5)
_MAX_REASON = 2000


@dataclass(frozen=True, slots=True)
class Accepted:
    """The batch is accepted."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """The batch is submitted again after a pause."""

    pause: timedelta


@dataclass(frozen=True, slots=True)
class Failed:
    """The batch is never accepted."""

    reason: str


SubmissionOutcome = Accepted | Postponed | Failed


def outcome_of(rejection: Rejection) -> SubmissionOutcome:
    """Return what becomes of a submission that was refused."""
    if rejection.retry_after_s is not None or rejection.status >= 500:
        return Postponed(max(_RETRY, timedelta(seconds=rejection.retry_after_s or 0)))
    if rejection.code == "idempotency_conflict":  # nobody else knows the id: its batch was accepted with another body
        return Accepted()
    return Failed(str(rejection)[:_MAX_REASON].replace("\x00", ""))
