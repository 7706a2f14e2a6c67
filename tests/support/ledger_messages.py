"""Messages that the aggregator receives, as the other services send them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    BatchControlled,
    BatchSealed,
    ChunkProcessed,
    ItemOutcome,
    ItemsSettled,
    SettledItem,
    SummaryCompleted,
)
from services.aggregator.domain.batch import Batch, BatchHeader
from services.aggregator.domain.report import Report
from shared.messaging.batch_consumer import DecodedMessage

BATCH = UUID("0197a5b0-0000-7000-8000-000000000001")
CHUNK = UUID("0197a5b0-0000-7000-8000-0000000000c0")
START = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the time this long after the start."""
    return START + timedelta(seconds=seconds)


def accepted(total: int | None, **fields: Any) -> BatchAccepted:
    """Return the header of the batch."""
    given = {"batch_id": BATCH, "owner": "ann", "workload": "noop", "priority": "normal", "total": total}
    return BatchAccepted.model_validate(given | {"accepted_at": START} | fields)


def sealed(total: int, batch_id: UUID = BATCH) -> BatchSealed:
    """Return the message that seals the batch."""
    return BatchSealed(batch_id=batch_id, total=total)


def controlled(action: Any, seconds: float, **fields: Any) -> BatchControlled:
    """Return a command given at this time."""
    given = {"batch_id": BATCH, "owner": "ann", "action": action, "at": at(seconds)}
    return BatchControlled.model_validate(given | fields)


def processed(statuses: dict[int, Any], *, round_: int = 1, batch_id: UUID = BATCH, **fields: Any) -> ChunkProcessed:
    """Return a worker's report: statuses, or whole outcomes, by ordinal."""
    outcomes = [
        value if isinstance(value, ItemOutcome) else ItemOutcome(ordinal=ordinal, status=value)
        for ordinal, value in statuses.items()
    ]
    given = {"chunk_id": CHUNK, "fence": 1, "batch_id": batch_id, "owner": "ann", "workload": "noop", "partition": "p"}
    given |= {"round": round_, "attempt": 1, "worker_id": "w1", "outcomes": outcomes}
    return ChunkProcessed.model_validate(given | fields)


def made(summary: Any, error: str | None = None, *, round_: int = 1) -> SummaryCompleted:
    """Return a worker's reply to a summary request."""
    return SummaryCompleted(batch_id=BATCH, workload="noop", round=round_, worker_id="w1", summary=summary, error=error)


def settled(status: Any, ordinals: list[int], *, round_: int = 1, batch_id: UUID = BATCH) -> ItemsSettled:
    """Return a decision of the dispatcher or of ingest on some items."""
    items = [SettledItem(ordinal=ordinal) for ordinal in ordinals]
    return ItemsSettled(batch_id=batch_id, round=round_, status=status, items=items)


def received(message: Message, *, redelivered: bool = False) -> DecodedMessage:
    """Return a message as the batch consumer passes it on."""
    read = Report.decode(message.encode()) if isinstance(message, ChunkProcessed) else message
    return DecodedMessage(read, Envelope(message.type, "id", redelivered=redelivered))


def batch(**fields: Any) -> Batch:
    """Return a batch whose header is known."""
    known: dict[str, Any] = {"key": 1, "batch_id": BATCH, "header": BatchHeader("ann", "noop", START)}
    return Batch(**(known | fields))
