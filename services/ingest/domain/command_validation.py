"""Validates terms and control commands: contradictions, empty changes, deadlines that have passed."""

from datetime import datetime

from batchyard_contracts.v1.commands import BatchControl
from batchyard_contracts.v1.values import Terms
from services.ingest.domain.rejection import Rejection

_EMPTY = Terms()
NOTHING = Rejection(
    "nothing_to_change",
    "`change` takes a new priority, weight, rate, concurrency, deadline, failure_threshold or retry, or names in "
    "`clear` the terms to remove.",
)
NOT_A_CHANGE = Rejection("invalid_command", "Terms and `clear` are only valid with the action `change`.")
NO_BOUND = Rejection("invalid_command", "failure_threshold needs at least one bound: count, share or codes.")


def validate_terms(terms: Terms, now: datetime) -> Rejection | None:
    """Return why terms cannot apply to a batch; None when they can."""
    if terms.deadline is not None and terms.deadline <= now:
        return Rejection("deadline_passed", f"The deadline {terms.deadline} has passed. Use a later one.")
    threshold = terms.failure_threshold
    if threshold is not None and threshold.count is None and threshold.share is None and not threshold.codes:
        return NO_BOUND
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
