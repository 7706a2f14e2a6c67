"""Components of a dispatcher on a real database; a test calls their handlers and refuses their messages."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast
from unittest.mock import AsyncMock

import asyncpg

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    BatchControlled,
    ChunkProcessed,
    ItemOutcome,
    ItemsPage,
    ItemsReopened,
    ItemsSettled,
    PageItem,
    Segment,
)
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import Counts, ItemError
from batchyard_contracts.v1.work import ChunkReady
from devstack import Servers
from services.dispatcher.domain.accepted_batch import AcceptedBatch
from services.dispatcher.domain.page import Page
from services.dispatcher.domain.report import Report
from services.dispatcher.domain.retry_policy import Retry
from services.dispatcher.leadership.components import build
from services.dispatcher.settings import DispatcherSettings
from shared.messaging.batch_consumer import DecodedMessage
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.postgres.pool import Pool, open_pool
from shared.redis.client import RedisClient
from shared.runtime.health import Health
from tests.support.patience import PATIENCE_S

ENVELOPE = Envelope(type="", message_id="")
CUT = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


class Outbox:
    """Publisher that records the messages, unless `refuse` raises."""

    def __init__(self) -> None:
        self.sent: list[OutgoingMessage] = []
        self.refuse: Callable[[Sequence[OutgoingMessage]], None] = lambda _: None

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Record messages."""
        self.refuse(messages)
        self.sent += messages

    @property
    def chunks(self) -> list[ChunkReady]:
        """Chunks sent to workers."""
        return [ChunkReady.decode(m.body) for m in self.sent if m.type == ChunkReady.type]

    @property
    def settled(self) -> list[tuple[str, int, str | None]]:
        """Outcomes published for the ledger: status, ordinal, error code."""
        messages = [ItemsSettled.decode(m.body) for m in self.sent if m.type == ItemsSettled.type]
        return [(t.status, i.ordinal, i.error.code if i.error else None) for t in messages for i in t.items]


class Parts:
    """A dispatcher without a state, and the messages that it publishes."""

    def __init__(self, pool: Pool, memory: RedisClient, settings: DispatcherSettings) -> None:
        self.pool, self.outbox = pool, Outbox()
        self.components = build(settings, Health(), pool, cast("Publisher", self.outbox), memory, AsyncMock())
        self.state, self.stores, self.settler = (
            self.components.state,
            self.components.stores,
            self.components.settler,
        )
        self.intake, self.dispatch_loop = self.components.intake, self.components.dispatch_loop
        self.report_handler, self.recovery = self.components.report_handler, self.components.recovery
        self.start_permits, self.batch_stopper = self.components.start_permits, self.components.batch_stopper
        self.rate_events = self.components.rate_events
        self._running: asyncio.Task[None] | None = None

    def add_workload(self, workload: str, **manifest: Any) -> None:
        """Announce a workload with one worker."""
        described = {"name": workload, "version": "1", "item_schema": {}, "result_schema": {}} | manifest
        self.state.set_manifest(Manifest.model_validate(described))
        self.state.workload_queue(workload).window.workers = 1

    async def pages(self, batch_id: uuid.UUID, sizes: dict[str, int], *, page: int = 0, workload: str = "w") -> None:
        """Deliver a page with this number of items for each partition."""
        await self.intake.on_items_pages([received(page_of(batch_id, sizes, page=page, workload=workload))])
        await self.batch_stopper.drain()

    async def accept(self, batch_id: uuid.UUID, workload: str = "w", **fields: Any) -> None:
        """Deliver a batch header."""
        await self.intake.on_batch_accepted(header(batch_id, workload).model_copy(update=fields), ENVELOPE)
        await self.batch_stopper.drain()

    async def accept_whole(self, *batches: BatchAccepted) -> None:
        """Deliver batches with their items in one group."""
        messages = [AcceptedBatch.decode(batch.encode()) for batch in batches]
        await self.intake.on_batches([DecodedMessage(message, ENVELOPE) for message in messages])
        await self.batch_stopper.drain()

    async def control(self, batch_id: uuid.UUID, action: str, at: datetime | None = None, **fields: Any) -> None:
        """Deliver a control."""
        command = {"batch_id": batch_id, "owner": "o", "action": action, "at": at or datetime.now(UTC)} | fields
        await self.intake.on_batch_controlled(BatchControlled.model_validate(command), ENVELOPE)
        await self.batch_stopper.drain()

    async def add_batch(self, sizes: dict[str, int], workload: str = "w", **fields: Any) -> uuid.UUID:
        """Deliver a batch with one page."""
        batch_id = uuid.uuid4()
        await self.pages(batch_id, sizes, workload=workload)
        await self.accept(batch_id, workload, **fields)
        return batch_id

    async def finish(self, batch_id: uuid.UUID, round_: int) -> None:
        """Have the aggregator end a round of a batch."""
        await self.intake.on_batch_finished(self.finished(batch_id, round_), ENVELOPE)

    def finished(self, batch_id: uuid.UUID, round_: int) -> BatchFinished:
        """Return the end of a round of a batch."""
        fields = {"batch_id": batch_id, "round": round_, "workload": "w", "owner": "o", "result": "failed"}
        fields |= {"accepted_at": "2026-11-20T18:00:00Z", "finished_at": "2026-11-20T18:00:00Z", "counts": Counts()}
        return BatchFinished.model_validate(fields)

    async def reopen(self, batch_id: uuid.UUID, round_: int, ordinals: Sequence[int], **fields: Any) -> None:
        """Run items again in a new round."""
        message = ItemsReopened(batch_id=batch_id, round=round_, ordinals=list(ordinals), **fields)
        await self.intake.on_items_reopened(message, ENVELOPE)

    async def report(self, chunk: ChunkReady, outcomes: Sequence[ItemOutcome], **fields: Any) -> None:
        """Deliver a worker's report."""
        await self.report_handler.on_chunks_processed([received(report_on(chunk, outcomes, **fields))])
        await self.batch_stopper.drain()

    async def add_retries(self, batch_id: uuid.UUID, ordinals: Sequence[int], partition: str = "") -> None:
        """Save retries that are due."""
        lines = {o: b'{"ordinal":%d,"payload":{}}' % o for o in ordinals}
        retries = [Retry(batch_id, o, 1, partition, 2, 0, -1.0, line) for o, line in lines.items()]
        await self.stores.retries.save_reopened(retries, [])
        self.dispatch_loop.retry_in(0.0)

    @asynccontextmanager
    async def dispatching(self) -> AsyncIterator[None]:
        """Run the dispatch loop."""
        running = self._running = asyncio.create_task(self.dispatch_loop.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self._running = None

    async def until(self, condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Wait for a condition that follows from a message."""
        async with asyncio.timeout(within_s):
            while not condition():
                if self._running is not None and self._running.done():
                    await self._running
                await asyncio.sleep(0.01)

    async def count(self, table: str) -> int:
        """Return the number of rows of a table."""
        return int(await self.pool.fetchval(f"SELECT count(*) FROM {table}"))


def report_on(chunk: ChunkReady, outcomes: Sequence[ItemOutcome], **fields: Any) -> ChunkProcessed:
    """Return a worker's report."""
    same = chunk.model_dump(exclude={"items", "priority"})
    return ChunkProcessed.model_validate(same | {"worker_id": "hand", "outcomes": list(outcomes)} | fields)


def received(message: ItemsPage | ChunkProcessed) -> DecodedMessage:
    """Return a message as its consumer passes it on."""
    body = message.encode()
    return DecodedMessage(Page.decode(body) if isinstance(message, ItemsPage) else Report.decode(body), ENVELOPE)


def page_of(batch_id: uuid.UUID, sizes: dict[str, int], *, page: int = 0, workload: str = "w") -> ItemsPage:
    """Return a page whose ordinals begin at a thousand times its number."""
    segments, ordinal = [], 1000 * page
    for partition, size in sizes.items():
        items = [PageItem(ordinal=ordinal + i, payload={}) for i in range(size)]
        segments.append(Segment(partition=partition, items=items))
        ordinal += size
    return ItemsPage(batch_id=batch_id, workload=workload, page=page, segments=segments)


def whole(batch_id: uuid.UUID, sizes: dict[str, int], workload: str = "w", **fields: Any) -> BatchAccepted:
    """Return a sealed batch with this number of items for each partition."""
    segments = page_of(batch_id, sizes).segments
    return header(batch_id, workload).model_copy(update={"total": sum(sizes.values()), "segments": segments} | fields)


def header(batch_id: uuid.UUID, workload: str = "w") -> BatchAccepted:
    """Return the header of an open batch."""
    return BatchAccepted(
        batch_id=batch_id, owner="o", workload=workload, priority="normal", accepted_at=datetime.now(UTC)
    )


def again(ordinal: int) -> ItemOutcome:
    """Return an outcome that asks for another run at once."""
    return ItemOutcome(ordinal=ordinal, status="retry", delay_s=0.0, error=ItemError(code="busy"))


def once(operation: Callable[..., Awaitable[Any]], *, first: bool) -> Callable[..., Awaitable[Any]]:
    """Return an operation whose first call loses its connection: before it runs, or afterwards (`first`)."""
    cut = False

    async def flaky(*arguments: Any, **named: Any) -> Any:
        nonlocal cut
        begun, cut = cut, True
        if not begun and not first:
            raise CUT
        value = await operation(*arguments, **named)
        if not begun:
            raise CUT
        return value

    return flaky


@asynccontextmanager
async def dispatcher_parts(
    servers: Servers, epoch: int | None = None, **more: Any
) -> AsyncIterator[Callable[[], Parts]]:
    """Yield a function that makes dispatchers, one after the other, on the same tables; all of one epoch, if any.

    `more`: further settings.
    """
    settings = DispatcherSettings(database_url=servers.database_url, redis_url=servers.redis_url, **more)
    session = None if epoch is None else {"batchyard.tenure": str(epoch)}
    pool = await open_pool(settings, "dispatcher", "services.dispatcher.persistence", session)
    memory = RedisClient(settings.redis_url, PATIENCE_S)
    try:
        yield lambda: Parts(pool, memory, settings)
    finally:
        await memory.close()
        await pool.close()
