"""Takes chunks of one workload from its three queues, the highest priority first, as long as there is room."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from uuid import UUID

import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection

from batchyard_contracts.topology import Queue, work_queues
from batchyard_contracts.v1.values import SlotCount
from batchyard_contracts.v1.work import ChunkReady
from services.worker.consuming.chunk_decoder import Chunk
from services.worker.consuming.chunk_returner import Returns
from services.worker.consuming.delivery_tracker import Claims, Key, key_of
from services.worker.consuming.external_cancel import let_go
from services.worker.consuming.pause_list import Pauses
from services.worker.execution.chunk_execution import ChunkRun
from services.worker.execution.item_runner import Runner
from shared.messaging.connection import open_channel
from shared.messaging.dead_letters import dead_letter
from shared.messaging.delivery import acknowledge, decode, is_stale, received
from shared.messaging.publisher import Publisher
from shared.observability.telemetry import span
from shared.runtime.errors import Rejected
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_LOW_SHARE = 20
_PREFETCH_MAX = 100
_IDLE_S = 5.0
_KINDS = {Chunk.type: Chunk}
_Waiting = tuple[int, int, ChunkReady, AbstractIncomingMessage]


class Intake:
    """Runs chunks until stopped. A delivery is acknowledged when its report is confirmed, see `Claims`."""

    def __init__(
        self,
        runner: Runner,
        connection: AbstractRobustConnection,
        publisher: Publisher,
        pulse: Pulse,
        returns: Returns,
        report_interval_s: float,
    ) -> None:
        self.runner = runner
        self._connection, self._publisher, self._pulse = connection, publisher, pulse
        self._returns, self._report_every_s = returns, report_interval_s
        self._waiting: list[_Waiting] = []
        self._order = itertools.count(1)
        self._taken = 0
        self._running: dict[Key, ChunkRun] = {}
        self._claims = Claims(runner.manifest.item_timeout_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._cancelled: dict[UUID, tuple[float, int | None]] = {}
        """When a batch was cancelled, and its round, if only that one was meant."""
        self._pauses = Pauses(_PREFETCH_MAX + 4 * runner.slots.most)
        self._stopping = False

    @property
    def chunks(self) -> list[UUID]:
        """The chunks that run here or wait here."""
        return [*(chunk_id for chunk_id, _ in self._running), *(chunk.chunk_id for _, _, chunk, _ in self._waiting)]

    @property
    def unfinished(self) -> int:
        """Items in hand that have no outcome yet."""
        return self.runner.unfinished

    @property
    def slots(self) -> SlotCount:
        """The slots that there are, and how many of them are taken."""
        slots = self.runner.slots
        return SlotCount(busy=slots.busy, open=slots.open, max=slots.most)

    @property
    def name(self) -> str:
        """The workload."""
        return self.runner.workload.name

    @property
    def abandoned(self) -> int:
        """Handlers that still run, although they were given up."""
        return self.runner.abandoned

    def trim(self) -> None:
        """Give back slots that were not needed since the last time."""
        self.runner.trim()

    async def run(self) -> None:
        """Consume until `drain`."""
        channel = await open_channel(self._connection)
        await channel.set_qos(prefetch_count=min(_PREFETCH_MAX, self.runner.slots.most + 2))
        tags = []
        for rank, queue in enumerate(work_queues(self.runner.workload.name)):
            declared = await channel.declare_queue(queue.name, passive=True)
            tags.append((declared, await declared.consume(self._arrival(rank, queue))))
        try:
            while not self._stopping:
                self._pulse.beat()
                self.runner.room.clear()
                while self._waiting and self._has_room:
                    self._begin(*self._next())
                await self._sleep()
                if self._failure:
                    raise self._failure
        finally:
            self._pulse.rest()
            if not channel.is_closed:
                for declared, tag in tags:
                    await declared.cancel(tag)
            while self._waiting:
                _, _, chunk, message = self._waiting.pop()
                self._aside(self._returns.give_back(chunk, message, "stopping"))
            await self._finish()
            if not channel.is_closed:
                await channel.close()

    def cancel(self, batch_id: UUID, round_: int | None = None) -> None:
        """Stop what runs of a batch, and what of it arrives from now on; if a round is named, none of later ones."""
        now = time.monotonic()
        self._cancelled = {b: c for b, c in self._cancelled.items() if c[0] > now - 3600} | {batch_id: (now, round_)}
        for run in self._running.values():
            if run.chunk.batch_id == batch_id and self._is_cancelled(run.chunk):
                run.stop(cancelled=True)

    def forget(self, batch_id: UUID | None = None) -> None:
        """Let a batch that was cancelled, or all of them, run again from now on."""
        if batch_id is None:
            self._cancelled.clear()
            self._pauses.forget()
        else:
            self._cancelled.pop(batch_id, None)

    def hold(self, batch_id: UUID, at: datetime, *, paused: bool) -> None:
        """Give back what of a paused batch has not begun, now and as it arrives; `paused` false: no longer."""
        if self._pauses.steer(batch_id, at, paused=paused) and paused:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                if one[2].batch_id == batch_id and self._pauses.take(batch_id):
                    self._begin(*one, held=True)
                else:
                    self._waiting.append(one)
            heapq.heapify(self._waiting)

    def drain(self) -> None:
        """Take nothing more; `run` returns when what is in hand has ended."""
        self._stopping = True
        self.runner.room.set()

    def interrupt(self) -> None:
        """Let what is in hand run elsewhere."""
        for run in self._running.values():
            run.stop(cancelled=False)

    @property
    def _has_room(self) -> bool:
        in_hand = len(self._running) if self.runner.by_chunk else self.runner.unfinished
        return in_hand < self.runner.slots.most

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(_IDLE_S):
                await self.runner.room.wait()
        except TimeoutError:
            return

    def _arrival(self, rank: int, queue: Queue) -> Callable[[AbstractIncomingMessage], Awaitable[None]]:
        async def arrived(message: AbstractIncomingMessage) -> None:
            try:
                chunk = decode(received(message), _KINDS)
            except Rejected as error:
                self._aside(self._bury(queue, message, str(error)))
                return
            if chunk.external_cancel:
                self._aside(let_go(self.runner, chunk, message))
                return
            if self._claims.knows(key_of(chunk)):
                self._aside(self._claims.hold(key_of(chunk), message))
                return
            if message.redelivered and chunk.chunk_id not in self.chunks:  # its worker was lost, perhaps by its doing
                self._aside(self._returns.give_back(chunk, message, "redelivered"))
                return
            one = (rank, next(self._order), chunk, message)
            if self._pauses.take(chunk.batch_id):
                self._begin(*one, held=True)
                return
            heapq.heappush(self._waiting, one)
            self.runner.room.set()

        return arrived

    def _next(self) -> _Waiting:
        """The highest priority, but every so often the lowest that waits, so that it never starves."""
        self._taken += 1
        if self._taken % _LOW_SHARE == 0:
            lowest = max(self._waiting, key=lambda w: (w[0], -w[1]))
            self._waiting.remove(lowest)
            heapq.heapify(self._waiting)
            return lowest
        return heapq.heappop(self._waiting)

    def _begin(
        self, _: int, __: int, chunk: ChunkReady, message: AbstractIncomingMessage, *, held: bool = False
    ) -> None:
        if is_stale(message):
            return
        key = key_of(chunk)
        if self._claims.knows(key):  # it arrived twice before it began
            self._aside(self._claims.hold(key, message))
            return
        self._claims.begin(key)
        run = ChunkRun(self.runner, chunk, received(message).envelope.traceparent, self._report_every_s)
        if held:
            run.hold()
        if self._is_cancelled(chunk):
            run.stop(cancelled=True)
        self.runner.unfinished += len(chunk.items)
        self._running[key] = run
        self._aside(self._run(run, message))

    def _is_cancelled(self, chunk: ChunkReady) -> bool:
        found = self._cancelled.get(chunk.batch_id)
        return found is not None and (found[1] is None or chunk.round <= found[1])

    def _aside(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("chunk failed", workload=self.runner.workload.name, exc_info=error)
            self._failure = error
            self.runner.room.set()

    async def _run(self, run: ChunkRun, message: AbstractIncomingMessage) -> None:
        chunk, trace, key = run.chunk, received(message).envelope.traceparent, key_of(run.chunk)
        await self._claims.hold(key, message)
        try:
            with span(f"run {chunk.workload}", trace, batch_id=str(chunk.batch_id), items=len(chunk.items)):
                await run.run()
        finally:
            del self._running[key]
        await self._claims.reported(key)

    async def _bury(self, queue: Queue, message: AbstractIncomingMessage, reason: str) -> None:
        delivery = received(message)
        await retry_transient(lambda: dead_letter(self._publisher, queue, delivery, reason), "dead letters")
        await acknowledge(message)

    async def _finish(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)
