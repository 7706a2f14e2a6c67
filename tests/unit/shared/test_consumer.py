"""Replies of the consumer, and undeliverable replies."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from batchyard_contracts import topology
from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.v1.commands import RatesControl
from batchyard_contracts.v1.queries import QueryFailed, WorkersQuery, WorkersReply
from shared.messaging import consumer, replies
from shared.messaging.consumer import Consumer
from shared.messaging.delivery import Delivery
from shared.messaging.message_router import MessageRouter, Route
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.messaging.refusals import Refusal
from shared.runtime.errors import HandlerFailed, MessageRejected, PublishFailed
from tests.support.patience import PATIENCE_S

DIRECT = "amq.rabbitmq.reply-to.g1h2"


class Listening:
    """Stands in for the library's broker: keeps what was subscribed."""

    def __init__(self, *_: object, **__: object) -> None:
        self.handle: Callable[[consumer._Received], Awaitable[None]]

    def subscriber(self, *_: object, **__: object) -> Callable[[Any], None]:
        return lambda handle: setattr(self, "handle", handle)


class Outbox:
    """Keeps what is published; `failing` is what happens to an answer."""

    def __init__(self, failing: Callable[[], Awaitable[None]] | None = None) -> None:
        self.answers: list[OutgoingMessage] = []
        self.dead: list[OutgoingMessage] = []
        self.tries = 0
        self._failing = failing

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        for message in messages:
            if message.exchange == topology.DEAD:
                self.dead.append(message)
                continue
            self.tries += 1
            if self._failing:
                await self._failing()
            self.answers.append(message)


async def answer(_: Any, __: Envelope) -> Message:
    return WorkersReply(workers=[])


async def defect(_: Any, __: Envelope) -> Message:
    raise KeyError("row")


async def deliver(
    monkeypatch: pytest.MonkeyPatch,
    outbox: Outbox,
    handler: Callable[[Any, Envelope], Awaitable[Message]],
    reply_to: str | None = DIRECT,
    kind: type[Message] = WorkersQuery,
) -> None:
    made: list[Listening] = []

    def make(*_: object, **__: object) -> Listening:
        made.append(Listening())
        return made[-1]

    monkeypatch.setattr(consumer, "ControlBroker", make)
    plane = Consumer("amqp://h", cast("Publisher", outbox), "x")
    plane.subscribe(topology.DISPATCHER_CONTROL, [Route(kind, handler)])
    envelope = Envelope(type=kind.type, message_id="m", reply_to=reply_to)
    await made[0].handle(consumer._Received([Delivery(b"{}", envelope)]))


@pytest.mark.parametrize("reply_to", [DIRECT, "amq.gen-Xq", "batchyard.reply.mine"])
async def test_a_queue_for_replies_is_answered(monkeypatch: pytest.MonkeyPatch, reply_to: str) -> None:
    outbox = Outbox()
    await deliver(monkeypatch, outbox, answer, reply_to)
    assert [(a.routing_key, a.type, a.correlation_id) for a in outbox.answers] == [(reply_to, WorkersReply.type, "m")]


@pytest.mark.parametrize("reply_to", ["dispatcher.outcomes", "work.noop.normal", "amq.gen-", "x.batchyard.reply.y"])
async def test_no_other_queue_is_written_to(monkeypatch: pytest.MonkeyPatch, reply_to: str) -> None:
    outbox = Outbox()
    await deliver(monkeypatch, outbox, answer, reply_to)
    assert (outbox.answers, outbox.dead) == ([], [])


async def refused() -> None:
    raise PublishFailed("reject-publish")


async def hang() -> None:
    await asyncio.Event().wait()


async def test_an_undeliverable_reply_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(refused)
    await asyncio.wait_for(deliver(monkeypatch, outbox, answer), PATIENCE_S)
    assert (outbox.tries, outbox.dead) == (1, [])


async def test_a_reply_that_hangs_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "REPLY_TIMEOUT_S", 0.01)
    outbox = Outbox(hang)
    await asyncio.wait_for(deliver(monkeypatch, outbox, answer), PATIENCE_S)
    assert (outbox.tries, outbox.dead) == (1, [])


async def test_a_handler_with_a_defect_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox()
    await deliver(monkeypatch, outbox, defect)
    assert [a.type for a in outbox.answers] == [QueryFailed.type]
    assert "KeyError" not in QueryFailed.decode(outbox.answers[0].body).detail
    assert "KeyError" in outbox.dead[0].headers["x-batchyard-reason"]


async def test_an_invalid_command_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox()
    await deliver(monkeypatch, outbox, answer, kind=RatesControl)
    assert [a.type for a in outbox.answers] == [QueryFailed.type]
    assert "`workload` is missing" in QueryFailed.decode(outbox.answers[0].body).detail


async def test_the_reply_of_on_invalid_is_preferred() -> None:
    seen: list[MessageRejected] = []

    def invalid(_: Delivery, error: MessageRejected) -> Refusal:
        seen.append(error)
        return Refusal(QueryFailed(code="mine", detail="mine"))

    outbox = Outbox()
    routes = [Route(WorkersQuery, defect)]
    router = MessageRouter(cast("Publisher", outbox), topology.DISPATCHER_CONTROL, routes, on_invalid=invalid)
    envelope = Envelope(type=WorkersQuery.type, message_id="m", reply_to=DIRECT)
    await router.handle(router.identify(Delivery(b"{}", envelope)))
    assert isinstance(seen[0], HandlerFailed)
    assert QueryFailed.decode(outbox.answers[0].body).code == "mine"


async def test_a_defect_without_reply_to_is_only_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox()
    await deliver(monkeypatch, outbox, defect, reply_to=None)
    assert (outbox.answers, len(outbox.dead)) == ([], 1)
