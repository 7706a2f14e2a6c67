"""Writes the e-mail that tells operators of a provider that refuses everything."""

from email.headerregistry import Address
from uuid import UUID

from batchyard_contracts.v1.events import CircuitChanged
from services.notifier.delivery.email_body import written
from services.notifier.domain.one_line import header_safe, one_line


def compose_alert(event: CircuitChanged, to: str, sender: Address, delivery_id: UUID) -> bytes:
    """The message, the same on every attempt; raises `ValueError` when it cannot be written safely."""
    where = one_line(event.value) or "all"
    safe = header_safe(where) or "a provider"
    headline = (
        f"{where} refuses the calls of {event.workload}. Its items wait; one of them tries it now and then, "
        "and all go on as soon as it is taken."
    )
    facts = [("Workload", event.workload), ("Limit", event.limit), ("Value", where)]
    if event.error is not None:
        facts += [("Error", event.error.code), ("It said", one_line(event.error.message))]
    at = event.since or event.at
    facts += [("Since", at.isoformat(sep=" ", timespec="seconds"))]
    facts += [("To see", f"batchyard pace {event.workload}")]
    return written(
        f"Items for {safe} wait: it refuses them ({event.workload})", headline, facts, at, to, sender, delivery_id
    )
