"""Refuses what a batch cannot be told: terms without sense, a change of nothing, a deadline that has passed."""

from datetime import datetime

from batchyard_contracts.v1.commands import BatchControl
from batchyard_contracts.v1.values import Terms
from services.ingest.domain.fault import Fault

_EMPTY = Terms()
NOTHING = Fault(
    "nothing_to_change",
    "`change` takes a new priority, weight, rate, concurrency, deadline, failure_threshold or retry, or names in "
    "`clear` the terms that are taken back.",
)
NOT_A_CHANGE = Fault("invalid_command", "Terms and `clear` belong to the action `change`. Send it as one.")
NO_BOUND = Fault("invalid_command", "failure_threshold needs at least one bound: count, share or codes.")


def fault_in_terms(terms: Terms, now: datetime) -> Fault | None:
    """What is wrong with the terms of a new batch, or with new ones."""
    if terms.deadline is not None and terms.deadline <= now:
        return Fault("deadline_passed", f"The deadline {terms.deadline} has passed. Give one that lies ahead.")
    threshold = terms.failure_threshold
    if threshold is not None and threshold.count is None and threshold.share is None and not threshold.codes:
        return NO_BOUND
    return None


def fault_in_order(command: BatchControl, now: datetime) -> Fault | None:
    """What is wrong with a command that steers."""
    terms = terms_of(command)
    told = {name for name in Terms.model_fields if getattr(terms, name) != getattr(_EMPTY, name)}
    if command.action != "change":
        return NOT_A_CHANGE if told or command.clear else None
    if command.priority is None and not told and not command.clear:
        return NOTHING
    if both := sorted(told.intersection(command.clear)):
        return Fault("invalid_command", f"{both[0]} is both set and cleared. Decide for one.")
    return fault_in_terms(terms, now)


def terms_of(command: Terms) -> Terms:
    """The terms in a command."""
    return Terms(**{name: getattr(command, name) for name in Terms.model_fields})
