"""E-mails that alert operators: of a provider that refuses every call, of a batch that cannot end, and of the end of a
key."""

from email.headerregistry import Address
from uuid import UUID

from batchyard_contracts.v1.events import BatchStuck, CircuitChanged, KeyExpiring
from services.notifier.delivery.email_body import LINK, build_email
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


def compose_stuck(event: BatchStuck, to: str, sender: Address, delivery_id: UUID, link: str | None = None) -> bytes:
    """Return the encoded message, the same for every attempt; raise `ValueError` if it cannot be written safely."""
    rows = [("Batch", str(event.batch_id)), ("Workload", event.workload), ("Owner", event.owner)]
    if event.name:
        rows.append(("Name", one_line(event.name)))
    rows += [("Round", str(event.round)), ("Remaining", str(event.counts.remaining))]
    rows += [("Since", event.since.isoformat(sep=" ", timespec="seconds"))]
    rows += [("Inspect", f"batchyard show {event.batch_id}")]
    if link:
        rows.append((LINK, link))
    subject = f"{event.workload}: batch {event.batch_id} is stuck"
    return build_email(subject, one_line(event.reason.detail), rows, event.at, to, sender, delivery_id)


def compose_expiring(event: KeyExpiring, to: str, sender: Address, delivery_id: UUID) -> bytes:
    """Return the encoded message, the same for every attempt; raise `ValueError` if it cannot be written safely."""
    ends = event.expires_at.isoformat(sep=" ", timespec="minutes")
    rows = [("Key", event.key_id), ("Name", one_line(event.name)), ("Owner", event.owner), ("Ends", ends)]
    used = event.last_used_at.isoformat(sep=" ", timespec="minutes") if event.last_used_at else "never"
    rows += [("Last used", used), ("Replace", f"batchyard keys rotate {event.key_id}")]
    headline = "An API key ends soon, and requests with it are refused from then on. Rotate it, or let it end."
    return build_email(f"API key {event.key_id} ends at {ends}", headline, rows, event.at, to, sender, delivery_id)
