"""Validates terms, chosen ids and control commands: contradictions, empty changes, times that cannot be."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from batchyard_contracts.v1.commands import BatchControl
from batchyard_contracts.v1.values import Terms
from services.ingest.domain.rejection import Rejection

_EMPTY = Terms()
_MAX_ID_AGE = timedelta(days=1)
MAX_DELAY = timedelta(days=366)
"""Longest time from now for which a batch may wait by its `not_before`."""
_LATEST_MS = 253_370_764_800_000
"""The year 9999, in milliseconds since 1970."""
NOTHING = Rejection(
    "nothing_to_change",
    "`change` takes a new priority, weight, rate, concurrency, not_before, deadline, failure_threshold or retry, or "
    "names in `clear` the terms to remove.",
)
NOT_A_CHANGE = Rejection("invalid_command", "Terms and `clear` are only valid with the action `change`.")
TOO_LATE = Rejection(
    "invalid_not_before",
    f"A batch waits for at most {MAX_DELAY.days} days. Use an earlier `not_before`.",
)
NO_TIME = Rejection(
    "invalid_not_before", "The deadline is not after `not_before`, so that no item would run. Change one of them."
)
NO_BOUND = Rejection("invalid_command", "failure_threshold needs at least one bound: count, share or codes.")


def validate_terms(terms: Terms, now: datetime) -> Rejection | None:
    """Return why terms cannot apply to a batch; None when they can."""
    if terms.deadline is not None and terms.deadline <= now:
        return Rejection("deadline_passed", f"The deadline {terms.deadline} has passed. Use a later one.")
    if terms.not_before is not None and terms.not_before > now + MAX_DELAY:
        return TOO_LATE
    if terms.not_before is not None and terms.deadline is not None and terms.not_before >= terms.deadline:
        return NO_TIME
    threshold = terms.failure_threshold
    if threshold is not None and threshold.count is None and threshold.share is None and not threshold.codes:
        return NO_BOUND
    return None


def validate_batch_id(batch_id: UUID | None, now: datetime) -> Rejection | None:
    """Return why a client cannot choose this id for a new batch; None when it can, or chose none."""
    if batch_id is None:
        return None
    if batch_id.version != 7:
        return Rejection("invalid_batch_id", "A batch id is a UUID of version 7. Leave `batch_id` out, or use one.")
    made_at = datetime.fromtimestamp((batch_id.int >> 80) / 1000, UTC) if batch_id.int >> 80 < _LATEST_MS else None
    if made_at is None or abs(made_at - now) > _MAX_ID_AGE:
        return Rejection(
            "invalid_batch_id", "The time in `batch_id` differs from now by more than a day. Use a new UUIDv7."
        )
    return None


def validate_control(command: BatchControl, now: datetime) -> Rejection | None:
    """Return why a control command is invalid; None when it is valid."""
    terms = terms_of(command)
    changed = {name for name in Terms.model_fields if getattr(terms, name) != getattr(_EMPTY, name)}
    if command.action != "change":
        return NOT_A_CHANGE if changed or command.clear else None
    if command.priority is None and not changed and not command.clear:
        return NOTHING
    if conflicts := sorted(changed.intersection(command.clear)):
        return Rejection("invalid_command", f"{conflicts[0]} is set and cleared at once.")
    return validate_terms(terms, now)


def terms_of(command: Terms) -> Terms:
    """Return the terms in a command."""
    return Terms(**{name: getattr(command, name) for name in Terms.model_fields})
