"""The e-mail that alerts operators of a provider that refuses every call."""

from email.headerregistry import Address
from uuid import UUID

from batchyard_contracts.v1.events import CircuitChanged
from services.notifier.delivery.email_body import build_email
from services.notifier.domain.one_line import header_safe, one_line


def compose_alert(event: CircuitChanged, to: str, sender: Address, delivery_id: UUID) -> bytes:
    """Return the encoded message, the same for every attempt; raise `ValueError` if it cannot be written safely."""
    where = one_line(event.partition) or "all"
    safe = header_safe(where) or "a provider"
    headline = (
        f"{where} refuses every call of {event.workload}. Its items wait; one of them probes it from time to time, "
        "and all continue as soon as a probe succeeds."
    )
    rows = [("Workload", event.workload), ("Limit", event.limit), ("Partition", where)]
    if event.error is not None:
        rows += [("Error", event.error.code), ("Message", one_line(event.error.message))]
    at = event.since or event.at
    rows += [("Since", at.isoformat(sep=" ", timespec="seconds"))]
    rows += [("Inspect", f"batchyard rates {event.workload}")]
    return build_email(
        f"{event.workload}: {safe} refuses every call, items wait", headline, rows, at, to, sender, delivery_id
    )
