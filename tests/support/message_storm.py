"""Sends odd messages to a running cluster, as clients and foreign workers could, and sees that all else goes on."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from yarl import URL

from batchyard_contracts import topology
from batchyard_contracts.client import Client
from batchyard_contracts.schema.asyncapi import EXCHANGE_OF
from batchyard_contracts.v1 import COMMANDS, QUERIES, commands
from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.queries import WorkloadReply
from batchyard_contracts.v1.values import NewItem
from shared.messaging.dead_letters import REASON
from shared.messaging.topology import declare
from tests.support.cluster import Cluster, until_announced
from tests.support.hand_worker import HandWorker
from tests.support.mutations import BATCH, CHUNK, WORKER, WORKLOAD, fill
from tests.support.odd_messages import odd_channel, publish_odd
from tests.support.patience import PATIENCE_S

ANSWERED = {kind.type for kind in (*COMMANDS, *QUERIES) if kind.type in EXCHANGE_OF}
"""Messages whose sender gets an answer in any case. That of a question to a workload depends on its worker."""
ANSWERED -= {"workload.query.v1"}
_EXCHANGES: dict[str, str] = {
    **dict.fromkeys(topology.FROM_WORKERS, topology.FLOW),
    **{kind.type: topology.COMMANDS for kind in COMMANDS},
    **{kind.type: EXCHANGE_OF[kind.type] for kind in QUERIES if kind.type in ANSWERED},
    commands.RatesControl.type: topology.OPERATORS,
}
TYPES = sorted(_EXCHANGES)
"""Types of all messages that outsiders send."""
PUBLIC_QUEUES = {
    topology.INGEST_COMMANDS,
    topology.INGEST_SOURCES,
    topology.INGEST_WORKERS,
    topology.DISPATCHER_OUTCOMES,
    topology.DISPATCHER_CONTROL,
    topology.AGGREGATOR_OUTCOMES,
    topology.AGGREGATOR_CONTROL,
}
"""Queues with dead letters that these messages reach."""


class MessageStorm:
    """The sender, with a batch of its own whose ids its messages name."""

    def __init__(
        self,
        cluster: Cluster,
        channel: AbstractChannel,
        odd_channel: aiormq.abc.AbstractChannel,
        reply_queue: str,
        known: Mapping[str, str],
        user: str,
    ) -> None:
        self._cluster, self._channel, self._odd_channel = cluster, channel, odd_channel
        self._reply_queue = reply_queue
        self._known = known
        self._user = user
        self._pids = cluster.pids()
        self._awaited: set[str] = set()
        self._changed = asyncio.Condition()

    async def send(self, message_type: str, body: bytes, properties: Mapping[str, Any]) -> None:
        """Publish a message, with its ids filled in."""
        correlation_id = uuid.uuid4().hex
        expects_reply = message_type in ANSWERED
        given = {"type": message_type, "user_id": self._user} | dict(properties) | {"correlation_id": correlation_id}
        if expects_reply:
            given["reply_to"] = self._reply_queue
            self._awaited.add(correlation_id)
        exchange = await self._channel.get_exchange(_EXCHANGES[message_type], ensure=False)
        await exchange.publish(aio_pika.Message(fill(body, self._known), **given), message_type)

    async def send_odd(self, message_type: str, body: bytes, properties: dict[str, bytes]) -> None:
        """Publish a message with encoded properties; nobody waits for its answer."""
        filled, user = fill(body, self._known), self._user.encode()
        properties = {"user_id": bytes([len(user)]) + user} | properties
        key = message_type.encode()
        async with asyncio.timeout(PATIENCE_S):  # nobody sends what waits on a connection that was closed
            await publish_odd(self._odd_channel, _EXCHANGES[message_type], key, message_type, filled, properties)

    async def check(self) -> None:
        """Everybody who waits for an answer gets one, a batch of somebody else succeeds, and no process has ended."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: not self._awaited)
        receipt = await self._cluster.client.submit("noop", [NewItem(payload={"n": n}) for n in range(3)])
        finished = await self._cluster.client.wait(receipt.batch_id, PATIENCE_S)
        assert (finished.result, finished.counts.succeeded) == ("completed", 3)
        assert self._cluster.pids() == self._pids

    async def on_reply(self, message: AbstractIncomingMessage) -> None:
        """Take an answer."""
        async with self._changed:
            self._awaited.discard(message.correlation_id or "")
            self._changed.notify_all()

    async def take_dead_letters(self) -> list[tuple[str, str, bytes]]:
        """Take all dead letters of the queues that these messages reach: queue, reason and body."""
        found = []
        for queue in PUBLIC_QUEUES:
            dead = await self._channel.get_queue(queue.dead_name, ensure=False)
            while (letter := await dead.get(fail=False, no_ack=True)) is not None:
                found.append((queue.name, str(letter.headers.get(REASON)), letter.body))
        return found

    async def waiting(self, queues: Iterable[topology.Queue]) -> dict[str, int]:
        """The numbers of messages that wait in queues, without the empty ones."""
        counts = {}
        for queue in queues:
            declared = await self._channel.declare_queue(queue.name, passive=True)
            counts[queue.name] = declared.declaration_result.message_count or 0
        return {name: count for name, count in counts.items() if count}


@asynccontextmanager
async def message_storm(cluster: Cluster, worker: HandWorker, url: str) -> AsyncIterator[MessageStorm]:
    """Submit a batch to a worker that never reports it, and connect. `url`: address with a user of its own, so that the
    quotas of nobody else are used up."""
    user = URL(url).user or ""
    connection = await aio_pika.connect(url)
    async with connection, odd_channel(url) as odd, Client.connect(url, owner=user) as client:
        channel = await connection.channel()
        replies = await channel.declare_queue(f"batchyard.reply.{uuid.uuid4().hex}", exclusive=True)
        await until_announced(cluster.http, worker.manifest.name)
        command = BatchSubmit(workload=worker.manifest.name, items=[NewItem(payload={"n": n}) for n in range(4)])
        receipt = await client.submit(command.workload, command.items)
        chunk = await worker.take()
        known = {
            BATCH: str(receipt.batch_id),
            CHUNK: str(chunk.chunk_id),
            WORKLOAD: worker.manifest.name,
            WORKER: worker.worker_id,
        }
        storm = MessageStorm(cluster, channel, odd, replies.name, known, user)
        await replies.consume(storm.on_reply, no_ack=True)
        yield storm


@asynccontextmanager
async def odd_answers(url: str, workload: str, question: str) -> AsyncIterator[list[bytes]]:
    """Answer each question to a workload by the last body of a list."""
    bodies: list[bytes] = []
    queue = topology.question_queue(workload, question)
    connection = await aio_pika.connect_robust(url)
    async with connection:
        channel = await connection.channel()

        async def answer(asked: AbstractIncomingMessage) -> None:
            reply = aio_pika.Message(bodies[-1], type=WorkloadReply.type, correlation_id=asked.correlation_id)
            await channel.default_exchange.publish(reply, asked.reply_to or "")

        await declare(connection, [queue])
        consumed = await channel.get_queue(queue.name)
        await consumed.consume(answer, no_ack=True)
        yield bodies
        await consumed.delete(if_unused=False, if_empty=False)
