"""Commands of owners who share a queue: one who sends many keeps no other waiting, and loses none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aio_pika
import pytest

from batchyard_contracts import topology
from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.values import NewItem
from devstack import Servers
from shared.messaging import refusals
from shared.messaging.aside_messages import aside_copy
from shared.messaging.connection import connect
from shared.messaging.dead_letters import USER
from shared.messaging.delivery import Delivery
from shared.messaging.fair_consumer import ASIDE_CONCURRENCY, PLACES, RESERVE, FairConsumer
from shared.messaging.message_router import MessageRouter, Route
from shared.messaging.publisher import Publisher
from shared.messaging.queue_depth import queue_depth
from shared.messaging.topology import declare
from shared.runtime.errors import MessageRejected
from shared.runtime.owner_turns import OwnerTurns
from tests.support.patience import PATIENCE_S, until_true

GREEDY, MODEST = "guest", "modest"
"""The broker's user, and the owner of commands without one."""
TYPE = BatchSubmit.type


class Handler:
    """Handler of commands, which holds those of the greedy owner until `go` is set."""

    def __init__(self, *, refuses: bool = False) -> None:
        self._refuses = refuses
        """True: the commands of the greedy owner are invalid."""
        self.go = asyncio.Event()
        self.running: list[str] = []
        self.done: list[tuple[str, str]] = []
        """Owners and names of the commands that have ended, in order."""
        self.envelopes: dict[str, Envelope] = {}
        self._changed = asyncio.Condition()

    async def on_batch_submit(self, command: BatchSubmit, envelope: Envelope) -> None:
        owner, name = envelope.owner or "", command.name or ""
        self.running.append(name)
        self.envelopes[name] = envelope
        if owner == GREEDY:
            await self.go.wait()
            if self._refuses:
                raise MessageRejected("It is invalid.")
        async with self._changed:
            self.done.append((owner, name))
            self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(condition)

    def names(self, owner: str) -> list[str]:
        return [name for who, name in self.done if who == owner]


@pytest.fixture
async def broker(clean: Servers) -> AsyncIterator[Publisher]:
    publisher = await Publisher.open(clean.amqp_url, "test")
    await declare(publisher.connection)
    try:
        yield publisher
    finally:
        await publisher.close()


@asynccontextmanager
async def consuming(
    servers: Servers, publisher: Publisher, handler: Handler, *, throttles: bool = False
) -> AsyncIterator[FairConsumer]:
    router = MessageRouter(
        publisher,
        topology.INGEST_COMMANDS,
        [Route(BatchSubmit, handler.on_batch_submit)],
        anonymous_owner=MODEST,
        throttles=throttles,
    )
    connection = await connect(servers.amqp_url, "test-commands")
    consumer = FairConsumer(
        connection, publisher, topology.INGEST_COMMANDS, topology.INGEST_ASIDE, router, OwnerTurns()
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
        await connection.close()


async def send(publisher: Publisher, owner: str, *names: str, type_: str = TYPE) -> None:
    channel = await publisher.connection.channel()
    exchange = await channel.get_exchange(topology.COMMANDS, ensure=False)
    for name in names:
        body = BatchSubmit(workload="squares", name=name, items=[NewItem(payload={"n": 1})]).encode()
        user = owner if owner == GREEDY else None
        message = aio_pika.Message(body, type=type_, user_id=user, message_id=f"id-{name}", app_id="program")
        await exchange.publish(message, TYPE)
    await channel.close()


def numbered(count: int, first: int = 0) -> list[str]:
    return [f"g{n}" for n in range(first, first + count)]


async def test_a_command_behind_two_hundred_of_another_owner_does_not_wait_for_them(
    servers: Servers, broker: Publisher
) -> None:
    await send(broker, GREEDY, *numbered(200))
    await send(broker, MODEST, "m")
    handler = Handler()
    async with consuming(servers, broker, handler):
        await handler.until(lambda: handler.names(MODEST) == ["m"])
        assert len(handler.running) <= PLACES // 2 + ASIDE_CONCURRENCY + 1
        handler.go.set()
        await handler.until(lambda: len(handler.names(GREEDY)) == 200)
    assert sorted(handler.names(GREEDY)) == sorted(numbered(200))


async def test_the_commands_of_an_owner_begin_in_their_order(servers: Servers, broker: Publisher) -> None:
    handler = Handler()
    async with consuming(servers, broker, handler):
        await send(broker, GREEDY, *numbered(100))
        await send(broker, MODEST, "m")  # the first hundred have been read
        await handler.until(lambda: handler.names(MODEST) == ["m"])
        handler.go.set()
        await send(broker, GREEDY, *numbered(100, first=100))
        await handler.until(lambda: len(handler.names(GREEDY)) == 200)
    assert [name for name in handler.running if name != "m"] == numbered(200)


async def test_a_few_commands_take_no_slow_path(servers: Servers, broker: Publisher) -> None:
    handler = Handler()
    few = PLACES // 2
    async with consuming(servers, broker, handler) as consumer:
        await send(broker, GREEDY, *numbered(few))
        await send(broker, MODEST, "m")
        await handler.until(lambda: handler.names(MODEST) == ["m"])
        handler.go.set()
        await handler.until(lambda: len(handler.names(GREEDY)) == few)
        assert not consumer._owners_aside
    assert all("x-batchyard-user" not in envelope.headers for envelope in handler.envelopes.values())


async def test_a_command_keeps_its_sender_on_the_slow_path(servers: Servers, broker: Publisher) -> None:
    names = numbered(200)
    await send(broker, GREEDY, *names)
    await send(broker, MODEST, "m")
    handler = Handler()
    async with consuming(servers, broker, handler):
        await handler.until(lambda: handler.names(MODEST) == ["m"])  # all have been read
        handler.go.set()
        await handler.until(lambda: len(handler.names(GREEDY)) == len(names))
    del handler.envelopes["m"]
    assert any(USER in one.headers for one in handler.envelopes.values()), "none took the slow path"
    sent = {(one.owner, one.user_id, one.app_id, one.type) for one in handler.envelopes.values()}
    assert sent == {(GREEDY, GREEDY, "program", TYPE)}
    assert {name: one.message_id for name, one in handler.envelopes.items()} == {name: f"id-{name}" for name in names}


async def test_messages_of_an_unknown_type_stop_nobody(servers: Servers, broker: Publisher) -> None:
    await send(broker, GREEDY, *numbered(300), type_=TYPE.removesuffix(".v1"))
    await send(broker, MODEST, "m")
    handler = Handler()
    async with consuming(servers, broker, handler):
        await handler.until(lambda: handler.names(MODEST) == ["m"])
    assert not handler.names(GREEDY)


async def test_commands_that_are_refused_unread_by_now_are_not_moved(
    servers: Servers, broker: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MAX_INVALID", 5)
    monkeypatch.setattr(refusals, "MAX_LETTERS", 5)
    handler = Handler(refuses=True)
    async with consuming(servers, broker, handler, throttles=True) as consumer:
        await send(broker, GREEDY, *numbered(150))
        await send(broker, MODEST, "m")
        await handler.until(lambda: handler.names(MODEST) == ["m"])  # all have been read, and wait for the first ones
        handler.go.set()
        await send(broker, GREEDY, *numbered(50, first=150))
        await send(broker, MODEST, "n")
        await handler.until(lambda: handler.names(MODEST) == ["m", "n"])
        await until_true(lambda: not consumer._excess)
        assert consumer._moved == 0
        assert len(handler.running) < PLACES + RESERVE + 2
    assert await queue_depth(broker.connection, topology.INGEST_COMMANDS.name) == 0


async def test_commands_moved_by_an_earlier_process_come_first(servers: Servers, broker: Publisher) -> None:
    for number in range(40):
        body = BatchSubmit(workload="squares", name=f"g{number}", items=[NewItem(payload={"n": 1})]).encode()
        envelope = Envelope(TYPE, message_id=f"id-g{number}", user_id=GREEDY)
        delivery = Delivery(body, envelope)
        await broker.publish([aside_copy(delivery, "earlier", number)])
    await send(broker, GREEDY, *numbered(60, first=40))
    handler = Handler()
    handler.go.set()
    async with consuming(servers, broker, handler) as consumer:
        await handler.until(lambda: len(handler.names(GREEDY)) == 100)
        assert not consumer._is_catching_up
    assert handler.running == numbered(100)


async def test_commands_that_were_not_handled_when_the_process_stops_are_there_for_the_next(
    servers: Servers, broker: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.fair_consumer._STOP_TIMEOUT_S", 0.0)
    stopped = Handler()
    await send(broker, GREEDY, *numbered(150))
    await send(broker, MODEST, "m")
    async with consuming(servers, broker, stopped):
        await stopped.until(lambda: stopped.names(MODEST) == ["m"])
    next_one = Handler()
    next_one.go.set()
    async with consuming(servers, broker, next_one):
        await next_one.until(lambda: set(next_one.names(GREEDY)) == set(numbered(150)))
