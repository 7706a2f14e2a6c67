"""A worker that a test controls step by step: it announces itself, sends heartbeats, takes chunks and reports."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts import topology
from batchyard_contracts.message import Message
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    ChunkProcessed,
    ItemOutcome,
    ItemsPage,
    ItemsSettled,
    PageItem,
    Segment,
    WorkerAnnounced,
    WorkerHeartbeat,
)
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.work import ChunkReady
from shared.messaging.bundles import deliveries
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.topology import declare
from tests.support.patience import PATIENCE_S

WAIT_S = PATIENCE_S


class HandWorker:
    """Worker and submitter in one: it submits batches to the dispatcher and does the work."""

    def __init__(self, manifest: Manifest, publisher: Publisher) -> None:
        self.manifest = manifest
        self.worker_id = f"hand-{uuid.uuid4().hex[:6]}"
        self.holding: set[uuid.UUID] = set()
        """Chunks that heartbeats name."""
        self.forgetful = False
        """True if the worker loses each chunk that it takes."""
        self.taken: list[tuple[float, ChunkReady]] = []
        self.settled: list[ItemsSettled] = []
        self.beats = 0
        """Number of heartbeats sent."""
        self._publisher = publisher
        self._chunks: asyncio.Queue[ChunkReady] = asyncio.Queue()
        self._changed = asyncio.Condition()

    async def tell(self, *messages: Message) -> None:
        """Publish to the flow exchange."""
        await self._publisher.publish([outgoing(topology.FLOW, message) for message in messages])

    async def beat(self) -> None:
        """Send one heartbeat."""
        self.beats += 1
        await self.tell(
            WorkerHeartbeat(
                worker_id=self.worker_id,
                workloads=[self.manifest.name],
                chunks=sorted(self.holding),
                at=datetime.now(UTC),
            )
        )

    async def beat_on(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await self.beat()
            await asyncio.sleep(0.3)

    async def pages(self, sizes: dict[str, int], *, page: int = 0, batch_id: uuid.UUID | None = None) -> uuid.UUID:
        """Send a page with this many items for each partition."""
        batch_id = batch_id or uuid.uuid4()
        segments, ordinal = [], 0
        for partition, size in sizes.items():
            items = [PageItem(ordinal=ordinal + i, payload={"n": ordinal + i}) for i in range(size)]
            segments.append(Segment(partition=partition, items=items))
            ordinal += size
        await self.tell(ItemsPage(batch_id=batch_id, workload=self.manifest.name, page=page, segments=segments))
        return batch_id

    async def accept(self, batch_id: uuid.UUID, total: int, owner: str = "default", **fields: Any) -> None:
        """Send the header of a batch."""
        header = {"priority": "normal", "total": total, "accepted_at": datetime.now(UTC)} | fields
        await self.tell(BatchAccepted(batch_id=batch_id, owner=owner, workload=self.manifest.name, **header))

    async def take(self, within_s: float = WAIT_S) -> ChunkReady:
        """Wait for the next chunk and return it."""
        async with asyncio.timeout(within_s):
            return await self._chunks.get()

    async def take_items(self, count: int) -> list[ChunkReady]:
        """Take chunks until they contain this many items."""
        chunks: list[ChunkReady] = []
        while sum(len(chunk.items) for chunk in chunks) < count:
            chunks.append(await self.take())
        return chunks

    @property
    def idle(self) -> bool:
        """Tell whether no chunk waits to be taken."""
        return self._chunks.empty()

    async def report(self, chunk: ChunkReady, outcomes: Sequence[ItemOutcome] | None = None, **fields: Any) -> None:
        """Report a chunk: all items succeeded, unless outcomes are given."""
        if outcomes is None:
            outcomes = [ItemOutcome(ordinal=item.ordinal, status="succeeded", result={}) for item in chunk.items]
        if fields.get("final", True):
            self.holding.discard(chunk.chunk_id)
        same = chunk.model_dump(exclude={"items", "priority"})
        await self.tell(ChunkProcessed(**same | {"worker_id": self.worker_id, "outcomes": list(outcomes)} | fields))

    async def wait_settled(self, count: int) -> list[ItemsSettled]:
        """Wait until the dispatcher has settled this many items; return the messages."""
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: sum(len(s.items) for s in self.settled) >= count)
        return self.settled

    async def on_chunk_ready(self, message: AbstractIncomingMessage) -> None:
        """Receive a chunk; it is acknowledged at once, so that only the lease protects it."""
        chunk = ChunkReady.decode(message.body)
        await message.ack()
        if not self.forgetful:
            self.holding.add(chunk.chunk_id)
        self.taken.append((time.monotonic(), chunk))
        self._chunks.put_nowait(chunk)

    async def on_items_settled(self, message: AbstractIncomingMessage) -> None:
        """Receive settled items."""
        async with self._changed:
            self.settled += [ItemsSettled.decode(delivery.body) for delivery in deliveries(message)]
            self._changed.notify_all()


@asynccontextmanager
async def hand_worker(amqp_url: str, **manifest: Any) -> AsyncIterator[HandWorker]:
    """Announce a workload of the worker's own and receive the messages about its batches."""
    name = f"hand-{uuid.uuid4().hex[:8]}"
    described = Manifest.model_validate(
        {"name": name, "version": "1", "item_schema": {}, "result_schema": {}} | manifest
    )
    publisher = await Publisher.open(amqp_url, "hand-worker")
    queues = topology.work_queues(name)
    await declare(publisher.connection, [*topology.QUEUES, *queues])
    worker = HandWorker(described, publisher)
    connection = await aio_pika.connect(amqp_url)
    beating: asyncio.Task[None] | None = None
    try:
        channel = await connection.channel()
        for queue in queues:
            await (await channel.get_queue(queue.name)).consume(worker.on_chunk_ready)
        settled_queue = await channel.declare_queue(exclusive=True)
        await settled_queue.bind(topology.FLOW, "items.settled.*")
        await settled_queue.bind(topology.FLOW, f"{topology.ASIDE}items.settled.*")
        await settled_queue.consume(worker.on_items_settled, no_ack=True)
        announced = WorkerAnnounced(worker_id=worker.worker_id, manifests=[described], started_at=datetime.now(UTC))
        await worker.tell(announced)
        beating = asyncio.create_task(worker.beat_on())
        yield worker
    finally:
        if beating:
            beating.cancel()
        for queue in queues:
            await (await channel.get_queue(queue.name)).delete(if_unused=False, if_empty=False)
            await (await channel.get_queue(queue.dead_name)).delete(if_unused=False, if_empty=False)
        await connection.close()
        await publisher.close()
