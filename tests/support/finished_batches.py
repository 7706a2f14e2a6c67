"""Messages about a finished batch, as other services send them, and deliveries made from them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import BatchAccepted
from batchyard_contracts.v1.values import Counts, Notifications
from services.notifier.domain.delivery import Kind, Target, deliveries_for
from services.notifier.persistence.store import ClaimedDelivery

AT = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
SECRET = "whsec_" + "c2l4dHkgZm91ciBieXRlcyBvciBsZXNzLCBubyBzZWNyZXQ="


def accepted(batch_id: UUID | None = None, *, webhooks: Any = (), emails: Any = (), **fields: Any) -> BatchAccepted:
    """Return a sealed batch of three items with its notification targets."""
    given: dict[str, Any] = {
        "batch_id": batch_id or uuid4(),
        "owner": "default",
        "workload": "noop",
        "priority": "normal",
        "total": 3,
        "notify": Notifications(webhooks=list(webhooks), emails=list(emails)),
        "accepted_at": AT,
    }
    return BatchAccepted.model_validate(given | fields)


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


def claimed(kind: Kind, address: str, *, number: int = 1, event: BatchFinished | None = None) -> ClaimedDelivery:
    """Return a claimed delivery of such an end."""
    event = event or finished()
    (delivery,) = deliveries_for(event.batch_id, event.round, [Target(kind, address)])
    return ClaimedDelivery(delivery, number, event.encode().decode(), None, None)
