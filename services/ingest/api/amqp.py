"""Handlers of the commands that arrive over AMQP."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.message import MAX_MESSAGE_BYTES, Envelope
from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.commands import (
    BatchAppend,
    BatchControl,
    BatchSeal,
    BatchSubmit,
    CacheInvalidate,
    CommandAccepted,
    CommandRejected,
    ControlAccepted,
)
from batchyard_contracts.v1.events import BatchRejected
from batchyard_contracts.v1.flow import NotifierAnnounced, WorkerAnnounced
from batchyard_contracts.v1.values import Owner, WorkloadName
from services.ingest.api.invalid_command import rejection_of
from services.ingest.control.cache_invalidator import CacheInvalidator
from services.ingest.control.control_handler import BatchControlHandler
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.persistence.keyed_lock import KeyedLock
from services.ingest.persistence.notifier_registry import NotifierRegistry
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.queries.waiting_reasons import WaitingReasons
from services.ingest.submission.append import BatchAppender
from services.ingest.submission.submit import BatchSubmitter
from shared.messaging.delivery import Delivery
from shared.messaging.publisher import Publisher, outgoing
from shared.runtime.errors import HandlerFailed, MessageRejected

T = TypeVar("T")
DEFAULT_OWNER = "default"
UNKNOWN = "unknown"
_OWNER: TypeAdapter[str] = TypeAdapter(Owner)
_WORKLOAD: TypeAdapter[str] = TypeAdapter(WorkloadName)
_BATCH_ID: TypeAdapter[UUID] = TypeAdapter(UUID)
_OUT_OF_ORDER_CODES = {"batch_not_found", "sequence_gap"}
_RETRY_DELAYS_S = (0.05, 0.1, 0.2, 0.4)
"""Pauses in seconds before an out-of-order command is tried again: its predecessor may be in progress elsewhere."""


class CommandHandlers:
    """Message handlers of ingest, one for each command."""

    def __init__(
        self,
        submitter: BatchSubmitter,
        appender: BatchAppender,
        control_handler: BatchControlHandler,
        cache_invalidator: CacheInvalidator,
        waiting_reasons: WaitingReasons,
        registry: WorkloadRegistry,
        notifier: NotifierRegistry,
        publisher: Publisher,
        clock: Callable[[], datetime],
    ) -> None:
        self._submitter = submitter
        self._appender = appender
        self._control_handler = control_handler
        self._cache_invalidator = cache_invalidator
        self._waiting_reasons = waiting_reasons
        self._registry = registry
        self._notifier = notifier
        self._publisher = publisher
        self._clock = clock
        self._batch_locks = KeyedLock()

    async def on_batch_submit(self, command: BatchSubmit, envelope: Envelope) -> CommandAccepted:
        """Start a batch."""
        async with self._batch_locks.acquire(command.batch_id):
            owner = owner_of(envelope)
            accepted = await self._submitter.submit(owner, command, envelope.message_id or None)
        return await self._waiting_reasons.add_note(accepted)

    async def on_batch_append(self, command: BatchAppend, envelope: Envelope) -> CommandAccepted:
        """Add items to an open batch."""
        async with self._batch_locks.acquire(command.batch_id):
            return await _retry_out_of_order(lambda: self._appender.append(owner_of(envelope), command))

    async def on_batch_seal(self, command: BatchSeal, envelope: Envelope) -> CommandAccepted:
        """Close a batch to further items."""
        async with self._batch_locks.acquire(command.batch_id):
            return await _retry_out_of_order(lambda: self._appender.seal(owner_of(envelope), command))

    async def on_batch_control(self, command: BatchControl, envelope: Envelope) -> CommandAccepted:
        """Pause, resume, cancel, retry or change a batch."""
        async with self._batch_locks.acquire(command.batch_id):
            message_id = envelope.message_id or None
            return await _retry_out_of_order(
                lambda: self._control_handler.control(owner_of(envelope), command, message_id)
            )

    async def on_cache_invalidate(self, command: CacheInvalidate, _: Envelope) -> ControlAccepted:
        """Invalidate cached results."""
        return await self._cache_invalidator.invalidate(command)

    async def on_worker_announced(self, message: WorkerAnnounced, envelope: Envelope) -> None:
        """Register the workloads of a worker."""
        await self._registry.register(message, redelivered=envelope.redelivered)

    async def on_notifier_announced(self, message: NotifierAnnounced, _: Envelope) -> None:
        """Record what the notifier can send."""
        await self._notifier.register(message)

    async def reject(self, delivery: Delivery, error: MessageRejected) -> CommandRejected:
        """Publish why a command was rejected, and return the reply to its sender."""
        rejection = _rejection_of(delivery, error)
        workload, batch_id = _read_workload_and_batch(delivery.body)
        event = BatchRejected(
            workload=workload,
            owner=_owner_or_unknown(delivery.envelope),
            batch_id=batch_id,
            code=rejection.code,
            detail=rejection.detail,
            line=rejection.line,
            message_id=delivery.envelope.message_id or None,
            at=self._clock(),
        )
        await self._publisher.publish([outgoing(EVENTS, event)])
        return CommandRejected(
            code=rejection.code,
            detail=rejection.detail,
            status=rejection.status,
            line=rejection.line,
            retry_after_s=rejection.retry_after_s,
        )


def owner_of(envelope: Envelope) -> str:
    """Return the owner of a command: the property `user_id`, which the broker has verified. Raises `IngestError`
    when it is no valid owner name."""
    if envelope.user_id is None:
        return DEFAULT_OWNER
    try:
        return _OWNER.validate_python(envelope.user_id)
    except ValidationError as error:
        raise IngestError(
            Rejection("invalid_owner", "The AMQP user name is not a valid owner. Use letters, digits, _ and -.")
        ) from error


async def _retry_out_of_order(operation: Callable[[], Awaitable[CommandAccepted]]) -> CommandAccepted:
    for delay_s in _RETRY_DELAYS_S:
        try:
            return await operation()
        except IngestError as error:
            if error.rejection.code not in _OUT_OF_ORDER_CODES:
                raise
        await asyncio.sleep(delay_s)  # no signal tells when another process commits
    return await operation()


def _rejection_of(delivery: Delivery, error: MessageRejected) -> Rejection:
    if isinstance(error, IngestError):
        return error.rejection
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
        return UNKNOWN


def _read_workload_and_batch(body: bytes) -> tuple[str, UUID | None]:
    """Return as much of an invalid command as is readable: its workload and its batch id."""
    try:
        value = orjson.loads(body) if len(body) <= MAX_MESSAGE_BYTES else {}
    except orjson.JSONDecodeError:
        value = {}
    found = value if isinstance(value, dict) else {}
    return _parse_or_none(_WORKLOAD, found.get("workload")) or UNKNOWN, _parse_or_none(_BATCH_ID, found.get("batch_id"))


def _parse_or_none(kind: "TypeAdapter[T]", value: object) -> "T | None":
    try:
        return kind.validate_python(value)
    except ValidationError:
        return None
