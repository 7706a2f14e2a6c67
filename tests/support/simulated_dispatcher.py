"""A dispatcher on a real database that dies, freezes and wakes when a test says so, held to its promises."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from asyncpg import PostgresError

from batchyard_contracts.message import Message
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    BatchControlled,
    BatchStopped,
    ChunkProcessed,
    ChunkReturned,
    ItemsPage,
    ItemsReopened,
    ItemsSettled,
    WorkerHeartbeat,
)
from batchyard_contracts.v1.queries import StartPermitQuery
from batchyard_contracts.v1.work import ChunkReady
from services.dispatcher.domain.accepted_batch import AcceptedBatch
from services.dispatcher.leadership.lease_keeper import LeaseEnded
from shared.messaging.batch_consumer import DecodedMessage
from shared.messaging.publisher import OutgoingMessage
from tests.support.dispatcher_parts import ENVELOPE, Parts, received
from tests.support.memory_ledger_store import Crash
from tests.support.pipeline_model import PipelineModel

Crashing = Literal["before", "after"] | None
"""Death of a process before or after its next publication, or commit."""
MAX_TURNS = 60
_Leases = dict[tuple[UUID, int], dict[str, Any] | None]
"""Rows of chunks in flight by chunk and fence; None for one that has ended."""


class Surroundings(Protocol):
    """The rest of the pipeline, as the dispatcher meets it."""

    held: list[ChunkReady]

    def take_chunk(self, queue: str, chunk: ChunkReady) -> None:
        """Put a chunk into a queue of the workers."""

    def take_settled(self, message: ItemsSettled) -> None:
        """Put outcomes into the queue of the ledger."""

    def queue_depth(self, queue: str) -> int:
        """Return the number of messages in a queue."""


class SimulatedDispatcher:
    """One active dispatcher after another."""

    def __init__(self, make: Callable[[], Parts], surroundings: Surroundings) -> None:
        self._make, self._surroundings = make, surroundings
        self._senders: dict[UUID, Parts] = {}
        """The dispatcher that sent each chunk last."""
        self.parts = make()
        self._model = PipelineModel(self.parts.pool)
        self._is_checked = True

    async def start(self) -> None:
        """Start a dispatcher that knows only what is in the tables; the one before is dead."""
        self.parts = self._make()
        self.parts.add_workload("w", chunk_max=3)
        await self.parts.components.load(lambda: None)
        await self.parts.batch_stopper.drain()
        self._collect()
        self.beat()

    async def deliver(self, bundle: Sequence[Message], crash: Crashing) -> bool:
        """Deliver messages of one type together; False if the dispatcher died. Messages that come too late must have no
        effect."""
        leases = {
            (message.chunk_id, message.fence): await self._model.lease(message.chunk_id, message.fence)
            for message in bundle
            if isinstance(message, ChunkProcessed | ChunkReturned)
        }
        are_late = all([await self._is_late(message, leases) for message in bundle])
        before = await self._model.tables() if are_late else None
        has_survived = await self._run(lambda: self._handle(bundle, self.parts), crash)
        if before is not None:
            assert await self._model.tables() == before, f"messages that come too late have an effect: {bundle}"
        for message in bundle if has_survived else ():
            match message:
                case ChunkProcessed():
                    self._record_report(message, leases)
                case ItemsReopened():
                    self._model.record_reopened(message)
                case BatchFinished():
                    self._model.record_finished(message.batch_id, message.round)
        return has_survived

    async def _is_late(self, message: Message, leases: _Leases) -> bool:
        match message:
            case ChunkProcessed() | ChunkReturned():
                return leases[message.chunk_id, message.fence] is None
            case BatchControlled() | BatchFinished() | ItemsReopened():
                return message.round is not None and message.round < await self._model.round_of(message.batch_id)
            case _:
                return False

    def _record_report(self, report: ChunkProcessed, leases: _Leases) -> None:
        """Record a report, if no earlier one of its bundle has ended the chunk."""
        key = (report.chunk_id, report.fence)
        if (lease := leases[key]) is not None:
            self._model.record_report(report, lease)
            covered = {*lease["reported"], *(outcome.ordinal for outcome in report.outcomes)}
            leases[key] = None if report.final else lease | {"reported": covered}

    async def dispatch(self, crash: Crashing = None) -> None:
        """Send chunks until no more may be sent."""

        async def until_idle() -> None:
            for _ in range(MAX_TURNS):
                if await self.parts.dispatch_loop._dispatch_waiting() > 0:
                    return

        await self._run(until_idle, crash)

    async def request_start(self, chunk: ChunkReady, worker_id: str, ordinals: Sequence[int]) -> None:
        """Let a worker ask whether it may start items that must not run twice."""
        lease = await self._model.lease(chunk.chunk_id, chunk.fence)
        query = StartPermitQuery(
            chunk_id=chunk.chunk_id, fence=chunk.fence, worker_id=worker_id, ordinals=list(ordinals)
        )
        if (await self.parts.start_permits.on_permit_query(query, ENVELOPE)).granted:
            self._model.record_permit(chunk, worker_id, ordinals, lease)
            self._is_checked = False

    async def wake_frozen(self, frozen: Parts, message: Message) -> None:
        """Deliver a message to a dispatcher of an earlier epoch, which must have no effect."""
        before = await self._model.tables()
        with suppress(PostgresError, LeaseEnded):
            await self._handle([message], frozen)
        assert await self._model.tables() == before, "a dispatcher of an earlier epoch has an effect"

    async def sweep(self, crash: Crashing) -> bool:
        """Let the dispatcher look for lost chunks; False if it died."""
        sweep = self.parts.components.worker_registry.sweep
        return await self._run(lambda: sweep(self._queue_depth, _now), crash)

    async def check_items(self) -> None:
        """Each item is in one place, as `PipelineModel.check_items` says."""
        if not self._is_checked:
            await self._model.check_items()
            self._is_checked = True

    def beat(self) -> None:
        """Let the worker send a heartbeat that names the chunks it holds."""
        chunks = [chunk.chunk_id for chunk in self._surroundings.held]
        beat = WorkerHeartbeat(
            worker_id="hand", workloads=["w"], chunks=chunks, handles_quarantine=True, at=datetime.now(UTC)
        )
        self.parts.state.record_heartbeat(beat, time.monotonic())

    async def _handle(self, bundle: Sequence[Message], parts: Parts) -> None:
        intake = parts.intake
        match message := bundle[0]:
            case ItemsPage() | ChunkProcessed():
                handler = (
                    intake.on_items_pages
                    if isinstance(message, ItemsPage)
                    else parts.report_handler.on_chunks_processed
                )
                await handler([received(one) for one in bundle if isinstance(one, ItemsPage | ChunkProcessed)])
            case BatchAccepted(segments=[*_]):
                whole = [AcceptedBatch.decode(one.encode()) for one in bundle]
                await intake.on_batches([DecodedMessage(one, ENVELOPE) for one in whole])
            case BatchFinished():
                await intake.on_batches([DecodedMessage(one, ENVELOPE) for one in bundle])
            case BatchAccepted():
                await intake.on_batch_accepted(message, ENVELOPE)
            case BatchControlled():
                await intake.on_batch_controlled(message, ENVELOPE)
            case BatchStopped():
                await intake.on_batch_stopped(message, ENVELOPE)
            case ItemsReopened():
                await intake.on_items_reopened(message, ENVELOPE)
            case ChunkReturned():
                await parts.recovery.on_chunks_returned([DecodedMessage(one, ENVELOPE) for one in bundle])
            case _:
                raise AssertionError(message)

    async def _run(self, operation: Callable[[], Any], crash: Crashing) -> bool:
        """Let the dispatcher do something; False if it died, and another one was started."""
        self._is_checked = False
        outbox = self.parts.outbox

        def die(messages: Sequence[OutgoingMessage]) -> None:
            if crash == "after":
                outbox.sent += messages
            raise Crash

        if crash is not None:
            outbox.refuse = die
        try:
            await operation()
            await self.parts.batch_stopper.drain()
        except Crash:
            self._collect(is_saved=False)
            await self.start()
            return False
        outbox.refuse = lambda _: None
        self._collect()
        return True

    def _collect(self, *, is_saved: bool = True) -> None:
        """Put what the dispatcher has sent into the queues. `is_saved`: it did not die before it saved all of it."""
        sent, self.parts.outbox.sent = self.parts.outbox.sent, []
        for message in sent:
            if message.type == ChunkReady.type:
                chunk = ChunkReady.decode(message.body)
                is_successor = self._senders.get(chunk.chunk_id) is not self.parts
                self._senders[chunk.chunk_id] = self.parts
                self._model.check_dispatched(chunk, is_successor=is_successor)
                self._surroundings.take_chunk(message.routing_key, chunk)
            elif message.type == ItemsSettled.type:
                settled = ItemsSettled.decode(message.body)
                self._surroundings.take_settled(settled)
                if is_saved:
                    self._model.record_settled(settled)

    async def _queue_depth(self, queue: str) -> int:
        return self._surroundings.queue_depth(queue)


async def _now() -> float:
    """Return the present time, as if every report was read: a chunk may be lost although its report is not."""
    return time.monotonic()
