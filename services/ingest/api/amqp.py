"""The AMQP door: who sent a command, its turn, and what is said when it is refused."""

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
from batchyard_contracts.v1.flow import WorkerAnnounced
from batchyard_contracts.v1.values import Owner, WorkloadName
from services.ingest.api.invalid_command import fault_of
from services.ingest.api.keyed_lock import Turns
from services.ingest.control.cache_invalidation import Invalidation
from services.ingest.control.control import Steering
from services.ingest.domain.fault import Fault
from services.ingest.domain.refused import Refused
from services.ingest.persistence.workload_registry import Registry
from services.ingest.submission.append import Growth
from services.ingest.submission.submit import Submissions
from shared.messaging.delivery import Delivery
from shared.messaging.publisher import Publisher, outgoing
from shared.runtime.errors import HandlerFailed, Rejected

T = TypeVar("T")
DEFAULT_OWNER = "default"
UNKNOWN = "unknown"
_OWNER: TypeAdapter[str] = TypeAdapter(Owner)
_WORKLOAD: TypeAdapter[str] = TypeAdapter(WorkloadName)
_BATCH_ID: TypeAdapter[UUID] = TypeAdapter(UUID)
_EARLY = {"batch_not_found", "sequence_gap"}
_PAUSES_S = (0.05, 0.1, 0.2, 0.4)
"""Another process may be busy with the command that this one builds upon."""


class Handlers:
    """One method for each command."""

    def __init__(
        self,
        submissions: Submissions,
        growth: Growth,
        steering: Steering,
        invalidation: Invalidation,
        registry: Registry,
        publisher: Publisher,
        clock: Callable[[], datetime],
    ) -> None:
        self._submissions = submissions
        self._growth = growth
        self._steering = steering
        self._invalidation = invalidation
        self._registry = registry
        self._publisher = publisher
        self._clock = clock
        self._turns = Turns()

    async def submit(self, command: BatchSubmit, envelope: Envelope) -> CommandAccepted:
        """Start a batch."""
        async with self._turns.take(command.batch_id):
            owner = owner_of(envelope)
            return await self._submissions.submit(owner, command, envelope.message_id or None)

    async def append(self, command: BatchAppend, envelope: Envelope) -> CommandAccepted:
        """Add items to an open batch."""
        async with self._turns.take(command.batch_id):
            return await _patiently(lambda: self._growth.append(owner_of(envelope), command))

    async def seal(self, command: BatchSeal, envelope: Envelope) -> CommandAccepted:
        """Close a batch to further items."""
        async with self._turns.take(command.batch_id):
            return await _patiently(lambda: self._growth.seal(owner_of(envelope), command))

    async def control(self, command: BatchControl, envelope: Envelope) -> CommandAccepted:
        """Steer a batch."""
        async with self._turns.take(command.batch_id):
            message_id = envelope.message_id or None
            return await _patiently(lambda: self._steering.control(owner_of(envelope), command, message_id))

    async def invalidate(self, command: CacheInvalidate, _: Envelope) -> ControlAccepted:
        """Forget known results."""
        return await self._invalidation.invalidate(command)

    async def announced(self, message: WorkerAnnounced, _: Envelope) -> None:
        """Learn what a worker can do."""
        await self._registry.announce(message)

    async def refused(self, delivery: Delivery, error: Rejected) -> CommandRejected:
        """Tell the world, and the sender, why a command was refused."""
        fault = _fault(delivery, error)
        workload, batch_id = _glimpse(delivery.body)
        event = BatchRejected(
            workload=workload,
            owner=_known_owner(delivery.envelope),
            batch_id=batch_id,
            code=fault.code,
            detail=fault.detail,
            line=fault.line,
            message_id=delivery.envelope.message_id or None,
            at=self._clock(),
        )
        await self._publisher.publish([outgoing(EVENTS, event)])
        return CommandRejected(
            code=fault.code,
            detail=fault.detail,
            status=fault.status,
            line=fault.line,
            retry_after_s=fault.retry_after_s,
        )


def owner_of(envelope: Envelope) -> str:
    """Whose command it is: the broker has checked the property `user_id`. Raises `Refused` on an unusable name."""
    if envelope.user_id is None:
        return DEFAULT_OWNER
    try:
        return _OWNER.validate_python(envelope.user_id)
    except ValidationError as error:
        raise Refused(
            Fault("invalid_owner", "The AMQP user's name cannot be an owner: use letters, digits, _ and -.")
        ) from error


async def _patiently(operation: Callable[[], Awaitable[CommandAccepted]]) -> CommandAccepted:
    for pause in _PAUSES_S:
        try:
            return await operation()
        except Refused as error:
            if error.fault.code not in _EARLY:
                raise
        await asyncio.sleep(pause)  # nothing tells when another process will have committed
    return await operation()


def _fault(delivery: Delivery, error: Rejected) -> Fault:
    if isinstance(error, Refused):
        return error.fault
    if isinstance(error, HandlerFailed):
        return Fault("internal_error", str(error), 500)
    if isinstance(error.__cause__, ValidationError):
        return fault_of(error.__cause__)
    if len(delivery.body) > MAX_MESSAGE_BYTES:
        return Fault("message_too_large", str(error), 413)
    return Fault("unknown_type", str(error), 400)


def _known_owner(envelope: Envelope) -> str:
    try:
        return owner_of(envelope)
    except Refused:
        return UNKNOWN


def _glimpse(body: bytes) -> tuple[str, UUID | None]:
    """What can be read of a command that is none: its workload and batch."""
    try:
        value = orjson.loads(body) if len(body) <= MAX_MESSAGE_BYTES else {}
    except orjson.JSONDecodeError:
        value = {}
    found = value if isinstance(value, dict) else {}
    return _read(_WORKLOAD, found.get("workload")) or UNKNOWN, _read(_BATCH_ID, found.get("batch_id"))


def _read(kind: "TypeAdapter[T]", value: object) -> "T | None":
    try:
        return kind.validate_python(value)
    except ValidationError:
        return None
