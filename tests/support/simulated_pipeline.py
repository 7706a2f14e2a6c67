"""A dispatcher and a ledger with queues between them, from which a test delivers messages late, twice or in any order.

The dispatcher's handlers work on a real database, the ledger's on a store in memory. Ingest, the workers and the broker
are simulated: nothing happens unless the test asks for it, and time passes when it says so. Small batches travel whole,
and messages of one type in bundles.
"""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, islice, takewhile
from typing import Any, Literal
from uuid import UUID

from batchyard_contracts import topology
from batchyard_contracts.message import Message
from batchyard_contracts.v1 import MESSAGES
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    BatchControlled,
    BatchSealed,
    BatchStopped,
    ChunkReturned,
    ItemOutcome,
    ItemsPage,
    ItemsReopened,
    ItemsSettled,
    PageItem,
    Segment,
)
from batchyard_contracts.v1.work import ChunkReady
from tests.support.dispatcher_parts import Parts, report_on
from tests.support.memory_ledger import Ledger
from tests.support.simulated_dispatcher import MAX_TURNS, Crashing, SimulatedDispatcher

DISPATCHER_QUEUES = PAGES, BATCHES, CONTROL, OUTCOMES = tuple(
    queue.name
    for queue in (
        topology.DISPATCHER_PAGES,
        topology.DISPATCHER_BATCHES,
        topology.DISPATCHER_CONTROL,
        topology.DISPATCHER_OUTCOMES,
    )
)
LEDGER_QUEUES = LEDGER_BATCHES, LEDGER_CONTROL, LEDGER_OUTCOMES = tuple(
    queue.name for queue in (topology.AGGREGATOR_BATCHES, topology.AGGREGATOR_CONTROL, topology.AGGREGATOR_OUTCOMES)
)
QUEUES = (*DISPATCHER_QUEUES, *LEDGER_QUEUES)
_ONE_AT_A_TIME = {CONTROL, LEDGER_CONTROL}
"""Queues whose consumers handle one message after the other."""
_LONG_S = 100.0
"""Longer than any lease, in seconds."""


class SimulatedBatch:
    """Ingest's record of a batch."""

    def __init__(self, batch_id: UUID, total: int, *, is_sealed: bool) -> None:
        self.batch_id, self.total, self.is_sealed = batch_id, total, is_sealed
        self.commanded_at = datetime.min.replace(tzinfo=UTC)


class SimulatedPipeline:
    """The pipeline, and what a correct one never does."""

    def __init__(self, make: Callable[[], Parts]) -> None:
        self.ledger = Ledger()
        self.queues: dict[str, list[Message]] = {name: [] for name in QUEUES}
        self.batches: dict[UUID, SimulatedBatch] = {}
        self.waiting: list[tuple[str, ChunkReady]] = []
        """Chunks in the queues of the workers, with the names of the queues."""
        self.held: list[ChunkReady] = []
        """Chunks at workers that live."""
        self.abandoned: list[ChunkReady] = []
        """Chunks at workers that nobody hears any more, but that may still report."""
        self.delivered: list[tuple[str, Message]] = []
        """Messages that were delivered, with their queues."""
        self.clock = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
        self._told: set[str | None] = set()
        self.dispatcher = SimulatedDispatcher(make, self)

    async def submit(self, sizes: dict[str, int], pages: int, *, is_sealed: bool) -> None:
        """Send a batch as ingest does: a sealed one with a single page whole; else pages with this number of items for
        each partition, and the header."""
        batch_id, ordinals = uuid.uuid4(), count()
        segments_by_page = [
            [
                Segment(partition=name, items=[PageItem(ordinal=next(ordinals), payload={}) for _ in range(size)])
                for name, size in sizes.items()
            ]
            for _ in range(pages)
        ]
        total = pages * sum(sizes.values())
        self.batches[batch_id] = SimulatedBatch(batch_id, total, is_sealed=is_sealed)
        header = BatchAccepted(
            batch_id=batch_id,
            owner="o",
            workload="w",
            priority="normal",
            total=total if is_sealed else None,
            accepted_at=self._command_time(self.batches[batch_id]),
        )
        if is_sealed and pages == 1:
            whole = header.model_copy(update={"segments": segments_by_page[0]})
            self.queues[BATCHES].append(whole)
            self.queues[LEDGER_BATCHES].append(whole)
            return
        for page, segments in enumerate(segments_by_page):
            self.queues[PAGES].append(ItemsPage(batch_id=batch_id, workload="w", page=page, segments=segments))
        self._to_both(header)

    async def seal(self, batch: SimulatedBatch) -> None:
        """Close a batch."""
        batch.is_sealed = True
        self.queues[LEDGER_CONTROL].append(BatchSealed(batch_id=batch.batch_id, total=batch.total))

    async def control(self, batch: SimulatedBatch, action: Literal["pause", "resume", "cancel", "retry"]) -> None:
        """Send a command to a batch. Ingest gives each a later time than the one before, whatever its clock shows."""
        if not (self.can_be_retried(batch) if action == "retry" else self.can_be_controlled(batch)):
            return  # ingest refuses it
        known, at = self.ledger.store.batches.get(batch.batch_id), self._command_time(batch)
        round_ = known.round if known is not None and action in {"pause", "cancel"} else None
        self._to_both(BatchControlled(batch_id=batch.batch_id, owner="o", action=action, round=round_, at=at))

    async def deliver(
        self, queue: str, place: int, *, most: int = 1, again: bool = False, crash: Crashing = None
    ) -> None:
        """Deliver a bundle: a message, and those of its type that follow it, `most` at most.

        The bundle stays in its queue as a whole if it is to come `again`, or if its receiver dies.
        """
        first = self.queues[queue][place]
        following = takewhile(lambda message: message.type == first.type, self.queues[queue][place:])
        bundle = [first] if queue in _ONE_AT_A_TIME else list(islice(following, most))
        if queue in LEDGER_QUEUES:
            await self.ledger.deliver(bundle, crash)
            self._collect_from_ledger()
            has_died = False
        else:
            has_died = not await self.dispatcher.deliver(bundle, crash)
        if not (again or has_died):
            for message in bundle:
                self.queues[queue].remove(message)
                self.delivered.append((queue, message))

    def lose_workers(self) -> None:
        """Let nobody hear the workers any more."""
        self.abandoned += self.held
        self.held.clear()

    async def deliver_all(self) -> None:
        """Deliver what is in the queues in order, and what follows from it."""
        while any(self.queues.values()):
            for name in QUEUES:
                while self.queues[name]:
                    await self.deliver(name, 0)

    def take_chunk(self, queue: str, chunk: ChunkReady) -> None:
        """Put a chunk into a queue of the workers."""
        self.waiting.append((queue, chunk))

    def take_settled(self, message: ItemsSettled) -> None:
        """Put outcomes into the queue of the ledger."""
        self.queues[LEDGER_OUTCOMES].append(message)

    def queue_depth(self, queue: str) -> int:
        """Return the number of messages in a queue."""
        return sum(name == queue for name, _ in self.waiting) + len(self.queues.get(queue, ()))

    def take(self, place: int) -> None:
        """Let a worker take a chunk."""
        self.held.append(self.waiting.pop(place)[1])

    def report(self, chunk: ChunkReady, outcomes: Sequence[ItemOutcome], *, is_final: bool) -> None:
        """Report a chunk as a worker does."""
        report = report_on(chunk, outcomes, final=is_final)
        self.queues[OUTCOMES].append(report)
        self.queues[LEDGER_OUTCOMES].append(report)
        if is_final:
            for chunks in (self.held, self.abandoned):
                if chunk in chunks:
                    chunks.remove(chunk)

    def give_back(self, chunk: ChunkReady, reason: Literal["redelivered", "stopping"]) -> None:
        """Return a chunk as a worker does that received it for the second time, or that stops."""
        same = chunk.model_dump(include={"chunk_id", "fence", "batch_id", "workload"})
        self.held.remove(chunk)
        self.queues[OUTCOMES].append(ChunkReturned.model_validate(same | {"worker_id": "hand", "reason": reason}))

    async def pass_time(self, crash: Crashing = None) -> None:
        """Let so much time pass that retries are due and the leases of chunks that nobody holds have expired."""
        await self.dispatcher.parts.pool.execute(
            "UPDATE retries SET due_at = now() - ordinal * interval '1 microsecond'"
        )
        self.dispatcher.parts.dispatch_loop.retry_in(0.0)
        alive = {chunk.chunk_id for chunk in self.held}
        for lease in self.dispatcher.parts.state.leases.values():
            if lease.chunk_id not in alive:
                lease.seen_at -= _LONG_S
        for _ in range(4):  # a chunk that was never sent is found when its worker has been heard twice
            if not await self.dispatcher.sweep(crash):
                return
            self.dispatcher.beat()

    async def finish(self) -> None:
        """Let all batches end with the help of workers that succeed; raises `AssertionError` if one never does."""
        for batch in self.batches.values():
            if not batch.is_sealed:
                await self.seal(batch)
            await self.control(batch, "resume")
        for _ in range(MAX_TURNS):
            await self.deliver_all()
            if self._is_done():
                break
            await self.dispatcher.dispatch()
            while self.waiting:
                self.take(0)
            for chunk in [*self.held]:
                done = [ItemOutcome(ordinal=item.ordinal, status="succeeded", result={}) for item in chunk.items]
                self.report(chunk, done, is_final=True)
            await self.deliver_all()
            await self.pass_time()
        else:
            raise AssertionError(f"stuck: {[self._unfinished(batch) for batch in self.batches.values()]}")
        await self._check_ends()

    def check_counts(self) -> None:
        """The counters of each batch are those of its rows, and never more than its items."""
        for batch in self.batches.values():
            if (known := self.ledger.store.batches.get(batch.batch_id)) is not None:
                assert known.counters == self.ledger.store.counted(batch.batch_id)
                assert known.counters.ended <= batch.total

    def can_be_controlled(self, batch: SimulatedBatch) -> bool:
        """Tell whether a batch is known and has not finished."""
        known = self.ledger.store.batches.get(batch.batch_id)
        return known is None or not known.is_finished

    def can_be_retried(self, batch: SimulatedBatch) -> bool:
        """Tell whether a batch has finished with items that did not succeed."""
        known = self.ledger.store.batches.get(batch.batch_id)
        return known is not None and known.is_finished and known.counters.unsuccessful > 0

    async def _check_ends(self) -> None:
        store = self.ledger.store
        for batch in self.batches.values():
            known = store.batches[batch.batch_id]
            ordinals = sorted(ordinal for key, ordinal in store.rows if key == known.key)
            assert ordinals == list(range(batch.total)), "each item has one outcome"
            ends = sorted(end.round for end in self.ledger.finished() if end.batch_id == batch.batch_id)
            assert ends == list(range(1, known.round + 1)), "each round ended once"
        state = self.dispatcher.parts.state
        assert dict(state.leases) == {}
        assert state.workload_queue("w").window.in_flight == 0
        rest = {
            table: [dict(row) for row in await self.dispatcher.parts.pool.fetch(f"SELECT * FROM {table}")]
            for table in ("leases", "retries")
        }
        assert rest == {"leases": [], "retries": []}, "nothing is left to do"

    def _is_done(self) -> bool:
        known = [self.ledger.store.batches.get(batch_id) for batch_id in self.batches]
        is_finished = all(batch is not None and batch.is_finished for batch in known)
        return is_finished and not (self.waiting or self.held or self.dispatcher.parts.state.leases)

    def _unfinished(self, batch: SimulatedBatch) -> dict[str, Any]:
        known = self.ledger.store.batches.get(batch.batch_id)
        return {
            "ledger": known,
            "dispatcher": self.dispatcher.parts.state.batches.get(batch.batch_id),
            "leases": [
                lease for lease in self.dispatcher.parts.state.leases.values() if lease.batch_id == batch.batch_id
            ],
        }

    def _collect_from_ledger(self) -> None:
        for key, message in list(self.ledger.store.outbox.items()):
            if key not in self._told:
                self._told.add(key)
                told = MESSAGES[message.type].decode(message.body)
                if isinstance(told, BatchFinished):
                    self.queues[BATCHES].append(told)
                elif isinstance(told, ItemsReopened | BatchStopped):
                    self.queues[CONTROL].append(told)

    def _to_both(self, message: Message) -> None:
        self.queues[CONTROL].append(message)
        self.queues[LEDGER_CONTROL].append(message)

    def _command_time(self, batch: SimulatedBatch) -> datetime:
        batch.commanded_at = max(self.clock, batch.commanded_at + timedelta(microseconds=1))
        return batch.commanded_at
