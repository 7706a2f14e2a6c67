"""Messages about a finished batch, as other services send them, and deliveries made from them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import NotificationRequested
from batchyard_contracts.v1.values import Counts, NotificationTargets
from services.notifier.domain.delivery import Kind, Target, deliveries_for
from services.notifier.persistence.store import ClaimedDelivery

AT = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
SECRET = "whsec_" + "c2l4dHkgZm91ciBieXRlcyBvciBsZXNzLCBubyBzZWNyZXQ="


def finished(batch_id: UUID | None = None, **fields: Any) -> BatchFinished:
    """Return the end of a batch in which 118 of 124 items succeeded."""
    given: dict[str, Any] = {
        "batch_id": batch_id or uuid4(),
        "owner": "default",
        "workload": "noop",
        "round": 1,
        "result": "partial",
        "counts": Counts(total=124, succeeded=118, failed=4, duplicate=2),
        "name": "Friday sets",
        "accepted_at": AT,
        "finished_at": AT,
    }
    return BatchFinished.model_validate(given | fields)


def requested(
    batch_id: UUID | None = None, *, webhooks: Any = (), emails: Any = (), **event: Any
) -> NotificationRequested:
    """Return the request to tell these receivers of such an end."""
    notify = NotificationTargets(webhooks=list(webhooks), emails=list(emails))
    return NotificationRequested(event=finished(batch_id, **event), notify=notify)


def claimed(kind: Kind, address: str, *, number: int = 1, event: BatchFinished | None = None) -> ClaimedDelivery:
    """Return a claimed delivery of such an end."""
    event = event or finished()
    (delivery,) = deliveries_for(event.batch_id, event.round, [Target(kind, address)])
    return ClaimedDelivery(delivery, number, event.encode().decode(), None, None)
