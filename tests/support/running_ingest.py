"""Runs ingest on real servers, and stands in for the services and clients around it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import aio_pika
import aiohttp
import asyncpg
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from batchyard_contracts import topology
from batchyard_contracts.message import Message
from batchyard_contracts.v1 import MESSAGES
from batchyard_contracts.v1.commands import CommandAccepted, CommandRejected
from batchyard_contracts.v1.flow import BatchAccepted, ItemsPage, WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest, Partition, TextExport
from batchyard_contracts.v1.queries import WaitingQuery, WaitingReply
from devstack import Servers, free_ports
from services.ingest.app import app
from services.ingest.settings import IngestSettings
from shared.messaging.bundles import deliveries
from shared.messaging.topology import declare
from shared.runtime.process import Runtime
from shared.runtime.transient import retry_transient
from tests.support.patience import PATIENCE_S, until

MessageT = TypeVar("MessageT", bound=Message)
Answer = Callable[[Any], Message]
SQUARES = Manifest(
    name="squares",
    version="1",
    title="Squares",
    item_schema={
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 0},
            "url": {"type": "string"},
            "note": {"type": "string"},
        },
        "required": ["n"],
        "additionalProperties": False,
    },
    result_schema={
        "type": "object",
        "properties": {"n": {"type": "integer"}, "title": {"type": "string"}, "sheets": {"type": "array"}},
    },
    partition=Partition(pointer="/url", by="host"),
    dedup="/n",
    exports={"cue": TextExport(content="/sheets", filename="/title", suffix=".cue")},
    example={"n": 3},
)


class IngestHarness:
    """Stand-in for all services and clients of ingest."""

    def __init__(self, servers: Servers, channel: AbstractChannel, http: aiohttp.ClientSession, url: str) -> None:
        self.servers = servers
        self.http = http
        self.url = url
        self.answers: dict[type[Message], Answer] = {WaitingQuery: lambda _: WaitingReply()}
        """Replies of the aggregator and the dispatcher to queries; a query without one gets no reply."""
        self.flow: list[Message] = []
        """Messages that ingest sent to other services, in order."""
        self.traces: list[str | None] = []
        self.events: list[Message] = []
        self._channel = channel
        self._arrived = asyncio.Condition()
        self._replies: dict[str, asyncio.Future[AbstractIncomingMessage]] = {}
        self._heard: dict[str, AbstractQueue] = {}
        self._reply_to = ""

    async def listen(self) -> None:
        """Start to receive messages and to reply."""
        await self._channel.set_qos(prefetch_count=1000)
        for exchange, key, take in (
            (topology.FLOW, "#", self._on_flow_message),
            (topology.EVENTS, "#", self._on_event),
        ):
            queue = await self._channel.declare_queue(exclusive=True)
            await queue.bind(exchange, key)
            await queue.consume(take, no_ack=True)
            self._heard[exchange] = queue
        replies = await self._channel.declare_queue(exclusive=True)
        self._reply_to = replies.name
        await replies.consume(self._on_reply, no_ack=True)
        for asked in (topology.AGGREGATOR_QUERIES, topology.DISPATCHER_QUERIES, topology.NOTIFIER_QUERIES):
            queue = await self._channel.get_queue(asked.name)
            await queue.consume(self._on_query, no_ack=True)

    async def hear_no_events(self) -> None:
        """Let nobody subscribe to events from now on."""
        await self._heard[topology.EVENTS].unbind(topology.EVENTS, "#")

    async def announce(
        self, *manifests: Manifest, at: datetime | None = None, headers: dict[str, str] | None = None
    ) -> None:
        """Announce a worker that runs these workloads, or `squares`; return when ingest knows them."""
        manifests = manifests or (SQUARES,)
        message = WorkerAnnounced(worker_id="w1", manifests=list(manifests), started_at=at or datetime.now(UTC))
        await self.publish(topology.FLOW, message)
        for manifest in manifests:
            await self._until_known(manifest, headers)

    async def answer_questions(self, workload: str, question: str) -> None:
        """Begin to answer a question as a worker would, with the answer to `WorkloadQuery`."""
        asked = topology.question_queue(workload, question)
        queue = await self._channel.declare_queue(asked.name, durable=True, arguments=dict(asked.arguments()))
        for binding in asked.bindings:
            await queue.bind(binding.exchange, binding.routing_key)
        await queue.consume(self._on_query, no_ack=True)

    async def publish(self, exchange: str, message: Message) -> None:
        """Send a message as a service would; repeat it if the broker refuses it, because a queue may just be gone."""

        async def send() -> None:
            key, body = message.routing_key(), message.encode()
            await self._send(exchange, key, message.type, body, message_id=uuid.uuid4().hex)

        await retry_transient(send, "RabbitMQ")

    async def command(self, message: Message, **properties: Any) -> CommandAccepted | CommandRejected:
        """Send a command and wait for the reply."""
        return await self.raw_command(message.type, message.encode(), **properties)

    async def raw_command(self, kind: str, body: bytes, **properties: Any) -> CommandAccepted | CommandRejected:
        """Send arbitrary bytes as a command and wait for the reply."""
        waiting = await self.begin_command(kind, body, **properties)
        async with asyncio.timeout(PATIENCE_S):
            reply = await waiting
        return cast("CommandAccepted | CommandRejected", MESSAGES[reply.type or ""].decode(reply.body))

    async def begin_command(
        self, kind: str, body: bytes, **properties: Any
    ) -> "asyncio.Future[AbstractIncomingMessage]":
        """Send arbitrary bytes as a command; the reply arrives later, unless `reply_to` is None."""
        correlation = uuid.uuid4().hex
        waiting: asyncio.Future[AbstractIncomingMessage] = asyncio.get_running_loop().create_future()
        self._replies[correlation] = waiting
        properties = {"message_id": uuid.uuid4().hex, "reply_to": self._reply_to} | properties
        await self._send(topology.COMMANDS, kind, kind, body, correlation_id=correlation, **properties)
        return waiting

    async def dead_letters(self, queue: topology.Queue = topology.INGEST_COMMANDS) -> int:
        """Return the number of dead letters of a queue."""
        declared = await self._channel.declare_queue(queue.dead_name, passive=True)
        return declared.declaration_result.message_count or 0

    async def dead_letter(self, queue: topology.Queue = topology.INGEST_COMMANDS) -> AbstractIncomingMessage:
        """Return the next dead letter of a queue."""
        dead = await self._channel.get_queue(queue.dead_name)
        found = await until(lambda: dead.get(no_ack=True, fail=False), lambda message: message is not None)
        assert found is not None
        return found

    def all(self, kind: type[MessageT]) -> list[MessageT]:
        """Return every message of a type that ingest has sent so far."""
        return [message for message in (*self.flow, *self.events) if isinstance(message, kind)]

    @property
    def pages(self) -> list[ItemsPage]:
        """Every page that ingest has sent so far, on its own or with the announcement of its batch."""
        found = [message for message in self.flow if isinstance(message, ItemsPage)]
        for one in self.all(BatchAccepted):
            if one.segments is not None:
                page = ItemsPage(batch_id=one.batch_id, workload=one.workload, page=0, segments=one.segments)
                found.append(page)
        return found

    async def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition that can only become true when a message arrives."""
        async with asyncio.timeout(PATIENCE_S), self._arrived:
            await self._arrived.wait_for(lambda: bool(condition()))

    async def wait_for(self, kind: type[MessageT], number: int = 1) -> list[MessageT]:
        """Wait for this number of messages of a type."""
        await self.wait_until(lambda: len(self.all(kind)) >= number)
        return self.all(kind)

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """Query or change ingest's tables."""
        connection = await asyncpg.connect(self.servers.database_url, server_settings={"search_path": "ingest"})
        try:
            return [dict(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    async def until_row(self, query: str, *arguments: object) -> dict[str, Any]:
        """Wait until a query finds a row; return the first."""
        return (await until(lambda: self.rows(query, *arguments)))[0]

    async def until_no_row(self, query: str, *arguments: object) -> None:
        """Wait until a query finds no row."""
        await until(lambda: self.rows(query, *arguments), lambda found: not found)

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        """GET and return the status and the JSON."""
        async with self.http.get(self.url + path, **options) as response:
            return response.status, await response.json(content_type=None)

    async def post(self, path: str, **options: Any) -> tuple[int, Any]:
        """POST and return the status and the JSON."""
        async with self.http.post(self.url + path, **options) as response:
            return response.status, await response.json(content_type=None)

    async def _until_known(self, manifest: Manifest, headers: dict[str, str] | None) -> None:
        path, version = f"/workloads/{manifest.name}", manifest.version
        await until(lambda: self.get(path, headers=headers), lambda answer: answer[1].get("version") == version)

    async def _send(self, exchange: str, key: str, kind: str, body: bytes, **properties: Any) -> None:
        to = await self._channel.get_exchange(exchange, ensure=False)
        await to.publish(aio_pika.Message(body, type=kind, content_type="application/json", **properties), key)

    async def _on_flow_message(self, message: AbstractIncomingMessage) -> None:
        if message.app_id == "ingest":
            async with self._arrived:
                for delivery in deliveries(message):
                    self.flow.append(MESSAGES[delivery.envelope.type].decode(delivery.body))
                    self.traces.append(delivery.envelope.traceparent)
                self._arrived.notify_all()

    async def _on_event(self, message: AbstractIncomingMessage) -> None:
        if message.app_id == "ingest":
            async with self._arrived:
                self.events.append(MESSAGES[message.type or ""].decode(message.body))
                self._arrived.notify_all()

    async def _on_reply(self, message: AbstractIncomingMessage) -> None:
        self._replies[message.correlation_id or ""].set_result(message)

    async def _on_query(self, message: AbstractIncomingMessage) -> None:
        question = MESSAGES[message.type or ""].decode(message.body)
        if (answer := self.answers.get(type(question))) is not None:
            reply = answer(question)
            await self._channel.default_exchange.publish(
                aio_pika.Message(reply.encode(), type=reply.type, correlation_id=message.correlation_id),
                message.reply_to or "",
            )


@asynccontextmanager
async def start_ingest(servers: Servers, **settings: Any) -> AsyncIterator[int]:
    """Run the service in this process; return its HTTP port."""
    runtime = Runtime()
    addresses = {"amqp_url": servers.amqp_url, "database_url": servers.database_url, "redis_url": servers.redis_url}
    port = free_ports(1)[0]
    async with app(IngestSettings(**addresses | {"http_port": port} | settings), runtime):
        yield port
    assert runtime.failure is None


@asynccontextmanager
async def connect_harness(servers: Servers, port: int) -> AsyncIterator[IngestHarness]:
    """Connect the stand-ins to an ingest that runs already."""
    async with AsyncExitStack() as stack:
        connection = await aio_pika.connect_robust(servers.amqp_url)
        stack.push_async_callback(connection.close)
        await declare(connection)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        harness = IngestHarness(servers, await connection.channel(), http, f"http://127.0.0.1:{port}/api/v1")
        await harness.listen()
        yield harness


@asynccontextmanager
async def running_ingest(servers: Servers, **settings: Any) -> AsyncIterator[IngestHarness]:
    """Run one ingest with its stand-ins; unless it needs keys or it is not `announced`, it knows the workload
    `squares`."""
    announced = settings.pop("announced", True)
    async with start_ingest(servers, **settings) as port, connect_harness(servers, port) as harness:
        if announced and not settings.get("api_tokens"):
            await harness.announce()
        yield harness
