"""Runs the aggregator on real servers, and stands in for the services around it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
from aio_pika.abc import AbstractRobustConnection

from batchyard_contracts import topology
from batchyard_contracts.message import Message
from batchyard_contracts.v1 import MESSAGES
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import BatchAccepted, ItemsSettled, SettledItem
from devstack import Servers
from services.aggregator.app import app
from services.aggregator.settings import AggregatorSettings
from shared.messaging.connection import connect
from shared.messaging.delivery import MessageDecoder
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.rpc_client import RpcClient
from shared.messaging.topology import declare
from shared.runtime.process import Runtime
from tests.support.patience import PATIENCE_S, until

MessageT = TypeVar("MessageT", bound=Message)
AnswerT = TypeVar("AnswerT")


class Neighbours:
    """Stand-in for ingest, dispatcher, worker and subscriber."""

    def __init__(self, publisher: Publisher, questions: RpcClient, database: "asyncpg.Connection[Any]") -> None:
        self._publisher = publisher
        self._questions = questions
        self._database = database
        self._arrived = asyncio.Condition()
        self.heard: list[Message] = []
        """Messages that the aggregator published, in order."""

    async def send(self, *messages: Message) -> None:
        """Publish messages on the flow exchange."""
        await self._publisher.publish([outgoing(topology.FLOW, message) for message in messages])

    async def send_aside(self, *messages: Message) -> None:
        """Publish messages that may wait for others."""
        await self._publisher.publish(
            [outgoing(topology.FLOW, one, routing_key=topology.ASIDE + one.routing_key()) for one in messages]
        )

    async def query(
        self, question: Message, answer: MessageDecoder[AnswerT], exchange: str = topology.INQUIRIES
    ) -> AnswerT:
        """Send a query to the aggregator and return its reply."""
        return await self._questions.query(question, answer, exchange=exchange)

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """Query the aggregator's tables."""
        return [dict(row) for row in await self._database.fetch(query, *arguments)]

    async def execute(self, statement: str, *arguments: object) -> None:
        """Change the aggregator's tables directly."""
        await self._database.execute(statement, *arguments)

    def all(self, kind: type[MessageT]) -> list[MessageT]:
        """Return every message of a type received so far."""
        return [message for message in self.heard if isinstance(message, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition that can only become true when a message arrives."""
        async with asyncio.timeout(PATIENCE_S), self._arrived:
            await self._arrived.wait_for(lambda: bool(condition()))

    async def finished(self, number: int = 1) -> Sequence[BatchFinished]:
        """Wait for this number of ends."""
        await self.until(lambda: len(self.all(BatchFinished)) >= number)
        return self.all(BatchFinished)

    async def until_row(self, query: str, *arguments: object) -> dict[str, Any]:
        """Wait until a query finds a row."""
        return (await until(lambda: self.rows(query, *arguments)))[0]

    async def recorded(self) -> None:
        """Wait until every outcome sent so far was handled: a small batch queues behind them and finishes."""
        last = uuid4()
        header = {"batch_id": last, "owner": "last", "workload": "noop", "priority": "normal"}
        await self.send(BatchAccepted.model_validate(header | {"total": 1, "accepted_at": datetime.now(UTC)}))
        await self.send(ItemsSettled(batch_id=last, round=1, status="expired", items=[SettledItem(ordinal=0)]))
        await self.until(lambda: any(event.batch_id == last for event in self.all(BatchFinished)))
        self.heard = [message for message in self.heard if getattr(message, "owner", None) != "last"]

    async def listen(self, connection: AbstractRobustConnection) -> None:
        """Start to receive the aggregator's messages."""
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(topology.EVENTS, "batch.#")
        await queue.bind(topology.FLOW, "items.reopened.*")
        await queue.bind(topology.FLOW, "batch.stopped.*")
        await queue.bind(topology.FLOW, "batch.resend.*")
        await queue.bind(topology.FLOW, "deletion.completed.*")
        await queue.bind(topology.FLOW, "notification.requested.*")
        await queue.consume(self._hear, no_ack=True)

    async def _hear(self, message: Any) -> None:
        async with self._arrived:
            self.heard.append(MESSAGES[message.type].decode(message.body))
            self._arrived.notify_all()


@asynccontextmanager
async def neighbours(servers: Servers) -> AsyncIterator[Neighbours]:
    """Connect the stand-ins, whether or not an aggregator runs."""
    async with AsyncExitStack() as stack:
        publisher = await Publisher.open(servers.amqp_url, "neighbours")
        stack.push_async_callback(publisher.close)
        await declare(publisher.connection)
        questions = await RpcClient.open(servers.amqp_url, "neighbours")
        stack.push_async_callback(questions.close)
        database = await asyncpg.connect(servers.database_url, server_settings={"search_path": "aggregator"})
        stack.push_async_callback(database.close)
        connection = await connect(servers.amqp_url, "subscriber")
        stack.push_async_callback(connection.close)
        around = Neighbours(publisher, questions, database)
        await around.listen(connection)
        yield around


@asynccontextmanager
async def aggregator(servers: Servers, **settings: Any) -> AsyncIterator[Runtime]:
    """Run the service in this process."""
    runtime = Runtime()
    addresses = {"amqp_url": servers.amqp_url, "database_url": servers.database_url, "redis_url": servers.redis_url}
    async with app(AggregatorSettings(**addresses | settings), runtime):
        yield runtime
    assert runtime.failure is None


@asynccontextmanager
async def at_work(servers: Servers, **settings: Any) -> AsyncIterator[Neighbours]:
    """Run one aggregator with its stand-ins."""
    async with aggregator(servers, **settings), neighbours(servers) as around:
        yield around
