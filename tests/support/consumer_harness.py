"""Runs a chunk consumer with a fake broker, and a handler that waits for an event."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection
from pydantic import BaseModel

from batchyard_contracts import topology
from batchyard_contracts.message import BUNDLE_CONTENT_TYPE, CONTENT_TYPE
from batchyard_contracts.v1.flow import ChunkProcessed, ChunkReturned
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from batchyard_contracts.workload import Context, Workload
from services.worker.caching.result_cache import ResultCache
from services.worker.consuming.chunk_consumer import ChunkConsumer
from services.worker.consuming.chunk_returner import ChunkReturner
from services.worker.execution.item_runner import ItemRunner
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.runtime.health import Health
from tests.support.patience import PATIENCE_S

BATCH = UUID(int=2)


class Number(BaseModel):
    n: int


class Broker:
    """Fake connection, channel and queues; delivers messages on the channel that is open."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self.is_closed = False
        self.consumers: list[Callable[[AbstractIncomingMessage], Awaitable[None]]] = []
        self.acknowledged: list[str] = []
        self.changed = asyncio.Event()
        self.up = SimpleNamespace(is_closed=False)

    async def channel(self, **_: object) -> "Broker":
        return self

    async def set_qos(self, **_: int) -> None:
        pass

    async def declare_queue(self, *_: object, **__: object) -> "Broker":
        return self

    async def consume(self, callback: Callable[[AbstractIncomingMessage], Awaitable[None]]) -> str:
        self.consumers.append(callback)
        self.changed.set()
        return "tag"

    async def cancel(self, _: str) -> None:
        pass

    async def close(self) -> None:
        pass

    def cut(self) -> None:
        self.up.is_closed = True
        self.up = SimpleNamespace(is_closed=False)

    async def deliver(self, chunk: ChunkReady, name: str, *, redelivered: bool = False) -> None:
        await self._deliver(chunk.encode(), name, CONTENT_TYPE, redelivered=redelivered)

    async def deliver_bundle(self, bodies: Sequence[bytes], name: str, *, redelivered: bool = False) -> None:
        await self._deliver(b"\n".join(bodies), name, BUNDLE_CONTENT_TYPE, redelivered=redelivered)

    async def _deliver(self, body: bytes, name: str, content_type: str, *, redelivered: bool) -> None:
        async def ack(**_: object) -> None:
            self.acknowledged.append(name)
            self.changed.set()

        fields = dict.fromkeys(
            (
                "exchange",
                "routing_key",
                "content_encoding",
                "correlation_id",
                "reply_to",
                "app_id",
                "user_id",
                "timestamp",
            )
        )
        message = SimpleNamespace(
            **fields,
            body=body,
            type=ChunkReady.type,
            message_id=name,
            redelivered=redelivered,
            content_type=content_type,
            headers={},
            channel=self.up,
            ack=ack,
        )
        await self.consumers[1 % len(self.consumers)](cast("AbstractIncomingMessage", message))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class ConsumerHarness:
    """A chunk consumer with a fake broker, and a handler that waits for an event."""

    def __init__(self, *, stubborn: bool = False, **settings: Any) -> None:
        self.broker, self.gate, self.health = Broker(), asyncio.Event(), Health()
        self.begun: list[int] = []
        self.reports: list[ChunkProcessed] = []
        self.returned: list[ChunkReturned] = []
        self.dead_letters: list[bytes] = []
        self.pulse = self.health.pulse("intake")
        work: Workload[Number, Number] = Workload("squares", version="1", item=Number, result=Number, **settings)

        @work.handler
        async def run(item: Number, _: Context) -> Number:
            self.begun.append(item.n)
            self.broker.changed.set()
            while not self.gate.is_set():
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    if not stubborn:
                        raise
            return item

        publisher = cast("Publisher", self)
        self.runner = ItemRunner(work, None, publisher, cast("ResultCache", None), "w", grace_s=0.05)
        connection = cast("AbstractRobustConnection", self.broker)
        self.consumer = ChunkConsumer(
            self.runner, connection, publisher, self.pulse, ChunkReturner(publisher, "w"), 0.01
        )

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        for message in messages:
            if message.exchange == topology.DEAD:
                self.dead_letters.append(message.body)
            elif message.type == ChunkReturned.type:
                self.returned.append(ChunkReturned.decode(message.body))
            else:
                self.reports.append(ChunkProcessed.decode(message.body))
        self.broker.changed.set()

    @property
    def statuses(self) -> list[str]:
        return [outcome.status for report in self.reports for outcome in report.outcomes]


@asynccontextmanager
async def consumer_harness(**settings: Any) -> AsyncIterator[ConsumerHarness]:
    made = ConsumerHarness(**settings)
    async with running(made):
        yield made


@asynccontextmanager
async def running(made: ConsumerHarness) -> AsyncIterator[None]:
    run = asyncio.create_task(made.consumer.run(), name="chunk consumer")
    await made.broker.until(lambda: len(made.broker.consumers) == 3)
    try:
        yield
    finally:
        made.gate.set()
        made.consumer.stop()
        await asyncio.wait_for(run, PATIENCE_S)


def chunk(number: int, *, fence: int = 1, round_: int = 1) -> ChunkReady:
    return ChunkReady(
        chunk_id=UUID(int=number),
        fence=fence,
        batch_id=BATCH,
        owner="a",
        workload="squares",
        priority="normal",
        partition="",
        round=round_,
        attempt=1,
        items=[ChunkItem(ordinal=0, payload={"n": number})],
    )
