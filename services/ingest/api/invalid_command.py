"""Explains why a command is refused: to its sender by a reply, and to those who subscribe to events."""

from datetime import datetime
from typing import TypeVar
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.message import MAX_MESSAGE_BYTES, Envelope
from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.commands import CommandRejected
from batchyard_contracts.v1.events import BatchRejected
from batchyard_contracts.v1.values import UNKNOWN_OWNER, WorkloadName
from services.ingest.api.amqp import owner_of
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.invalid_body import rejection_of
from services.ingest.domain.rejection import Rejection
from shared.messaging.delivery import Delivery
from shared.messaging.publisher import outgoing
from shared.messaging.refusals import Refusal
from shared.runtime.errors import HandlerFailed, MessageRejected, NotPermitted, SenderThrottled

T = TypeVar("T")
UNKNOWN_WORKLOAD = "unknown"
_WORKLOAD: TypeAdapter[str] = TypeAdapter(WorkloadName)
_BATCH_ID: TypeAdapter[UUID] = TypeAdapter(UUID)


def refusal_of(delivery: Delivery, error: MessageRejected, at: datetime) -> Refusal:
    """Return the messages that say why a command was refused."""
    rejection = _rejection_of(delivery, error)
    is_read = not isinstance(error, SenderThrottled)
    workload, batch_id = _read_workload_and_batch(delivery.body if is_read else b"")
    event = BatchRejected(
        workload=workload,
        owner=_owner_or_unknown(delivery.envelope),
        batch_id=batch_id,
        code=rejection.code,
        detail=rejection.detail,
        line=rejection.line,
        message_id=delivery.envelope.message_id or None,
        at=at,
    )
    reply = CommandRejected(
        code=rejection.code,
        detail=rejection.detail,
        status=rejection.status,
        line=rejection.line,
        errors=list(rejection.errors),
        error_count=rejection.error_count,
        retry_after_s=rejection.retry_after_s,
    )
    return Refusal(reply, outgoing(EVENTS, event))


def _rejection_of(delivery: Delivery, error: MessageRejected) -> Rejection:
    if isinstance(error, IngestError):
        return error.rejection
    if isinstance(error, SenderThrottled):
        return Rejection("too_many_refused", str(error), 429, retry_after_s=error.retry_after_s)
    if isinstance(error, NotPermitted):
        return Rejection("not_permitted", str(error), 403)
    if isinstance(error, HandlerFailed):
        return Rejection("internal_error", str(error), 500)
    if delivery.fault is not None:
        return Rejection("invalid_properties", str(error), 400)
    if isinstance(error.__cause__, ValidationError):
        return rejection_of(error.__cause__)
    if len(delivery.body) > MAX_MESSAGE_BYTES:
        return Rejection("message_too_large", str(error), 413)
    return Rejection("unknown_type", str(error), 400)


def _owner_or_unknown(envelope: Envelope) -> str:
    try:
        return owner_of(envelope)
    except IngestError:
        return UNKNOWN_OWNER


def _read_workload_and_batch(body: bytes) -> tuple[str, UUID | None]:
    """Return as much of an invalid command as is readable: its workload and its batch id."""
    try:
        value = orjson.loads(body) if len(body) <= MAX_MESSAGE_BYTES else {}
    except orjson.JSONDecodeError:
        value = {}
    found = value if isinstance(value, dict) else {}
    workload = _parse_or_none(_WORKLOAD, found.get("workload")) or UNKNOWN_WORKLOAD
    return workload, _parse_or_none(_BATCH_ID, found.get("batch_id"))


def _parse_or_none(kind: "TypeAdapter[T]", value: object) -> "T | None":
    try:
        return kind.validate_python(value)
    except ValidationError:
        return None
