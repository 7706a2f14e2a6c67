"""Handlers of the commands that arrive over AMQP."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.commands import (
    BatchAppend,
    BatchControl,
    BatchSeal,
    BatchSubmit,
    CacheInvalidate,
    CommandAccepted,
    ControlAccepted,
    ResultsAccept,
)
from batchyard_contracts.v1.flow import NotifierAnnounced, WorkerAnnounced
from batchyard_contracts.v1.schedules import ScheduleAccepted, ScheduleControl, ScheduleForm, ScheduleSave
from batchyard_contracts.v1.templates import TemplateControl, TemplateSave, TemplateSaved, TemplateSubmit
from batchyard_contracts.v1.values import ClientOwner
from services.ingest.api.queue_declarations import QueueDeclarations
from services.ingest.control.cache_invalidator import CacheInvalidator
from services.ingest.control.control_handler import BatchControlHandler
from services.ingest.control.result_acceptor import ResultAcceptor
from services.ingest.domain.actor import Actor
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.template import Template
from services.ingest.persistence.audit_log import act_as
from services.ingest.persistence.keyed_lock import KeyedLock
from services.ingest.persistence.notifier_registry import NotifierRegistry
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.queries.waiting_reasons import WaitingReasons
from services.ingest.schedules.schedule_manager import ScheduleManager
from services.ingest.submission.append import BatchAppender
from services.ingest.submission.submit import BatchSubmitter
from services.ingest.templates.template_manager import TemplateManager
from shared.messaging.sender_quota import SenderQuota

_OWNER: TypeAdapter[str] = TypeAdapter(ClientOwner)
_OUT_OF_ORDER_CODES = {"batch_not_found", "sequence_gap"}
_RETRY_DELAYS_S = (0.05, 0.1, 0.2, 0.4)
"""Pauses in seconds before an out-of-order command is tried again: its predecessor may be in progress elsewhere."""

_ALL_RESULTS = Rejection(
    "forbidden",
    "All cached results of a workload serve all owners. Name a `payload`, or let an operator remove them: "
    "`batchyard invalidate-cache`.",
    403,
)
MAX_VAIN_WAITS, VAIN_WAITS_PERIOD_S = 8, 60.0
"""Commands of one owner that wait for a predecessor that does not come, in a period."""


class CommandHandlers:
    """Message handlers of ingest, one for each command."""

    def __init__(
        self,
        submitter: BatchSubmitter,
        appender: BatchAppender,
        control_handler: BatchControlHandler,
        result_acceptor: ResultAcceptor,
        cache_invalidator: CacheInvalidator,
        waiting_reasons: WaitingReasons,
        registry: WorkloadRegistry,
        notifier: NotifierRegistry,
        templates: TemplateManager,
        schedules: ScheduleManager,
        declarations: QueueDeclarations,
    ) -> None:
        self._submitter = submitter
        self._appender = appender
        self._control_handler = control_handler
        self._result_acceptor = result_acceptor
        self._cache_invalidator = cache_invalidator
        self._waiting_reasons = waiting_reasons
        self._registry = registry
        self._notifier = notifier
        self._templates = templates
        self._schedules = schedules
        self._declarations = declarations
        self._batch_locks = KeyedLock()
        self._given_up: set[tuple[str, UUID]] = set()
        """Owners and batches with commands in progress that come after one which waited in vain."""
        self._vain_waits = SenderQuota(MAX_VAIN_WAITS, VAIN_WAITS_PERIOD_S)

    async def on_batch_submit(self, command: BatchSubmit, envelope: Envelope) -> CommandAccepted:
        """Start a batch."""
        owner = _acting_owner(envelope)
        async with self._batch_locks.acquire(command.batch_id and (owner, command.batch_id)):
            accepted = await self._submitter.submit(owner, command, envelope.message_id or None)
        return await self._waiting_reasons.add_note(accepted)

    async def on_batch_append(self, command: BatchAppend, envelope: Envelope) -> CommandAccepted:
        """Add items to an open batch."""
        owner = _acting_owner(envelope)
        return await self._run_in_order(owner, command.batch_id, lambda: self._appender.append(owner, command))

    async def on_batch_seal(self, command: BatchSeal, envelope: Envelope) -> CommandAccepted:
        """Close a batch to further items."""
        owner = _acting_owner(envelope)
        return await self._run_in_order(owner, command.batch_id, lambda: self._appender.seal(owner, command))

    async def on_batch_control(self, command: BatchControl, envelope: Envelope) -> CommandAccepted:
        """Pause, resume, cancel, retry or change a batch."""
        owner, message_id = _acting_owner(envelope), envelope.message_id or None
        return await self._run_in_order(
            owner, command.batch_id, lambda: self._control_handler.control(owner, command, message_id)
        )

    async def on_results_accept(self, command: ResultsAccept, envelope: Envelope) -> CommandAccepted:
        """Accept refused results of a batch."""
        owner, message_id = _acting_owner(envelope), envelope.message_id or None
        return await self._run_in_order(
            owner, command.batch_id, lambda: self._result_acceptor.accept(owner, command, message_id)
        )

    async def on_cache_invalidate(self, command: CacheInvalidate, envelope: Envelope) -> ControlAccepted:
        """Invalidate one cached result. All of a workload serve all owners, so that only an operator may remove them,
        over HTTP."""
        _acting_owner(envelope)
        if command.payload is None:
            raise IngestError(_ALL_RESULTS)
        return await self._cache_invalidator.invalidate(command)

    async def on_template_save(self, command: TemplateSave, envelope: Envelope) -> TemplateSaved:
        """Create a template, or its next version. Operators share templates by HTTP, where their key is known."""
        return _saved(await self._templates.save(_acting_owner(envelope), command, is_operator=False))

    async def on_template_submit(self, command: TemplateSubmit, envelope: Envelope) -> CommandAccepted:
        """Start a batch by a template."""
        owner = _acting_owner(envelope)
        async with self._batch_locks.acquire(command.batch_id and (owner, command.batch_id)):
            accepted = await self._templates.submit(owner, command.template, command, envelope.message_id or None)
        return await self._waiting_reasons.add_note(accepted)

    async def on_template_control(
        self, command: TemplateControl, envelope: Envelope
    ) -> TemplateSaved | ControlAccepted:
        """Restore a version of a template, or delete the template."""
        owner = _acting_owner(envelope)
        if command.version is None:
            await self._templates.delete(owner, command.name, is_operator=False)
            return ControlAccepted(at=await self._schedules.now())
        return _saved(await self._templates.restore(owner, command.name, command.version, is_operator=False))

    async def on_schedule_save(self, command: ScheduleSave, envelope: Envelope) -> ScheduleAccepted:
        """Create a schedule, or replace it."""
        form = ScheduleForm(**{name: getattr(command, name) for name in ScheduleForm.model_fields})
        saved = await self._schedules.save(_acting_owner(envelope), command.name, form)
        return ScheduleAccepted(name=saved.name, next_at=saved.next_at, at=await self._schedules.now())

    async def on_schedule_control(self, command: ScheduleControl, envelope: Envelope) -> ScheduleAccepted:
        """Pause, resume or delete a schedule, or start a run of it."""
        owner, name, schedules = _acting_owner(envelope), command.name, self._schedules
        next_at: datetime | None = None
        match command.action:
            case "pause":
                await schedules.pause(owner, name, command.note)
            case "resume":
                next_at = (await schedules.resume(owner, name)).next_at
            case "run":
                await schedules.run_now(owner, name)
                next_at = (await schedules.get(owner, name)).next_at
            case "delete":
                await schedules.delete(owner, name)
        return ScheduleAccepted(name=name, next_at=next_at, at=await schedules.now())

    async def on_worker_announced(self, message: WorkerAnnounced, envelope: Envelope) -> None:
        """Register the workloads of a worker, and declare their queues if that is left to this service."""
        await self._registry.register(message, redelivered=envelope.redelivered)
        await self._declarations.declare_workloads(message.manifests)

    async def on_notifier_announced(self, message: NotifierAnnounced, _: Envelope) -> None:
        """Record what the notifier can send."""
        await self._notifier.register(message)

    async def _run_in_order(
        self, owner: str, batch_id: UUID, operation: Callable[[], Awaitable[CommandAccepted]]
    ) -> CommandAccepted:
        """Run the commands to one batch one after the other, and repeat one while its predecessor may be in progress.

        A command that waits takes the place of another one. So it waits only while its owner has rarely waited in vain,
        and not behind one that has just waited in vain for the same batch.
        """
        key = (owner, batch_id)
        async with self._batch_locks.acquire(key):
            may_wait = key not in self._given_up and self._vain_waits.used_up_for_s(owner) is None
            try:
                for delay_s in _RETRY_DELAYS_S if may_wait else ():
                    try:
                        return await operation()
                    except IngestError as error:
                        if error.rejection.code not in _OUT_OF_ORDER_CODES:
                            raise
                    await asyncio.sleep(delay_s)  # no signal tells when another process commits
                return await operation()
            except IngestError as error:
                if may_wait and error.rejection.code in _OUT_OF_ORDER_CODES:
                    self._vain_waits.take(owner)
                    self._given_up.add(key)
                raise
            finally:
                if self._batch_locks.users(key) == 1:
                    self._given_up.discard(key)


def _saved(template: Template) -> TemplateSaved:
    owner = None if template.is_shared else template.owner
    return TemplateSaved(name=template.name, owner=owner, version=template.version, at=template.created_at)


def owner_of(envelope: Envelope) -> str:
    """Return the owner of a command. Raises `IngestError` when it is no valid owner name."""
    try:
        return _OWNER.validate_python(envelope.owner)
    except ValidationError as error:
        raise IngestError(
            Rejection("invalid_owner", "The AMQP user name is not a valid owner. Use letters, digits, _ and -.")
        ) from error


def _acting_owner(envelope: Envelope) -> str:
    """Return the owner of a command, who is the actor of all that follows from it."""
    owner = owner_of(envelope)
    act_as(Actor(owner, "amqp"))
    return owner
