"""Refused messages: who is told, what is kept, and what a sender of many of them may cause."""

from collections.abc import Sequence
from typing import cast

import pytest
from structlog.testing import capture_logs

from batchyard_contracts import topology
from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.commands import CommandRejected
from shared.messaging import dead_letters, refusals
from shared.messaging.delivery import Delivery
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.messaging.refusals import Refusal, Refusals
from shared.runtime.errors import MessageRejected, PublishRefused, SenderThrottled

REPLY = "batchyard.reply.mine"
EVENT = OutgoingMessage(topology.EVENTS, "batch.rejected.v1.w.ann", "batch.rejected.v1", b"{}")
INVALID = MessageRejected("invalid_item: it is wrong")


class Broker:
    """Keeps what is published, and refuses what needs a receiver that is not there."""

    def __init__(self, *, has_subscriber: bool = False, has_replies: bool = True) -> None:
        self.replies: list[OutgoingMessage] = []
        self.events: list[OutgoingMessage] = []
        self.letters: list[OutgoingMessage] = []
        self._has = {topology.EVENTS: has_subscriber, "": has_replies, topology.DEAD: True}
        self._lists = {topology.EVENTS: self.events, "": self.replies, topology.DEAD: self.letters}

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        for message in messages:
            if message.needs_receiver and not self._has[message.exchange]:
                raise PublishRefused
            self._lists[message.exchange].append(message)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def describe(_: Delivery, error: MessageRejected) -> Refusal:
    return Refusal(CommandRejected(code="invalid_item", detail=str(error)), EVENT)


def refusing(broker: Broker, clock: Clock | None = None, queue: topology.Queue = topology.INGEST_COMMANDS) -> Refusals:
    return Refusals(cast("Publisher", broker), queue, describe, throttles=True, clock=clock or Clock())


def command(sender: str | None = "ann", reply_to: str | None = None, body: bytes = b"{}", **more: str) -> Delivery:
    return Delivery(body, Envelope("batch.submit.v1", "m", reply_to=reply_to, user_id=sender), **more)


@pytest.mark.parametrize(
    ("reply_to", "has_replies", "has_subscriber", "letters"),
    [
        (REPLY, True, False, 0),
        ("amq.rabbitmq.reply-to.g1", False, False, 0),  # the broker cannot tell whether somebody is there
        (REPLY, False, False, 1),
        (REPLY, False, True, 0),
        (None, True, True, 0),
        (None, True, False, 1),
        ("ingest.commands", True, False, 1),  # no queue for replies
    ],
)
async def test_a_refused_message_is_a_dead_letter_only_if_nobody_was_told(
    reply_to: str | None, has_replies: bool, has_subscriber: bool, letters: int
) -> None:
    broker = Broker(has_replies=has_replies, has_subscriber=has_subscriber)
    await refusing(broker).refuse(command(reply_to=reply_to), INVALID)
    assert len(broker.letters) == letters


async def test_an_event_about_a_message_with_unreadable_properties_may_name_another_sender() -> None:
    broker = Broker(has_subscriber=True)
    await refusing(broker).refuse(command(fault="no UTF-8"), INVALID)
    assert (len(broker.events), len(broker.letters)) == (1, 1)


async def test_a_message_that_met_a_defect_is_kept_though_its_sender_was_told() -> None:
    broker = Broker()
    await refusing(broker).refuse(command(reply_to=REPLY), INVALID, defect="KeyError: 'row'")
    assert [letter.headers["x-batchyard-reason"] for letter in broker.letters] == ["KeyError: 'row'"]
    assert len(broker.replies) == 1


async def test_a_sender_of_many_invalid_messages_fills_neither_the_dead_letters_nor_the_log() -> None:
    broker, clock = Broker(), Clock()
    refused = refusing(broker, clock)
    with capture_logs() as logged:
        for _ in range(10_000):
            clock.now += 0.01
            await refused.refuse(command(), INVALID)
        await refused.refuse(command("bob"), INVALID)
    assert len(broker.letters) == refusals.MAX_LETTERS + 1, "the other sender has a quota of its own"
    lines = [entry for entry in logged if entry["event"] == "messages refused"]
    assert len(lines) <= 10_000 * 0.01 / refusals.LOG_PERIOD_S + 1
    assert len(logged) <= dead_letters.MAX_LINES + len(lines)
    clock.now += refusals.LETTERS_PERIOD_S
    await refused.refuse(command(), INVALID)
    assert len(broker.letters) == refusals.MAX_LETTERS + 2


async def test_large_dead_letters_of_a_sender_are_few() -> None:
    broker = Broker()
    refused = refusing(broker)
    for _ in range(100):
        await refused.refuse(command(body=b"x" * (4 * 1024 * 1024)), INVALID)
    assert sum(len(letter.body) for letter in broker.letters) == refusals.MAX_LETTER_BYTES


async def test_after_many_invalid_messages_no_more_of_the_sender_is_read_for_a_while() -> None:
    broker, clock = Broker(), Clock()
    refused = refusing(broker, clock)
    for _ in range(refusals.MAX_INVALID):
        refused.check(command(reply_to=REPLY))
        await refused.refuse(command(reply_to=REPLY), INVALID)
    with pytest.raises(SenderThrottled) as caught:
        refused.check(command())
    assert caught.value.retry_after_s == refusals.INVALID_PERIOD_S
    refused.check(command("bob"))
    await refused.refuse(command(reply_to=REPLY), caught.value)
    assert len(broker.replies) == refusals.MAX_INVALID + 1, "every sender that waits for a reply gets one"
    clock.now += refusals.INVALID_PERIOD_S
    refused.check(command())


async def test_a_refusal_that_is_no_fault_of_the_sender_does_not_count() -> None:
    refused = refusing(Broker())
    later = SenderThrottled(3)
    for _ in range(2 * refusals.MAX_INVALID):
        await refused.refuse(command(reply_to=REPLY), later)
        await refused.refuse(command(reply_to=REPLY), INVALID, defect="KeyError: 1")
    refused.check(command())


async def test_each_invalid_message_of_a_queue_that_clients_do_not_reach_is_kept() -> None:
    broker = Broker()
    refused = refusing(broker, queue=topology.INGEST_SOURCES)
    for _ in range(2 * refusals.MAX_LETTERS):
        await refused.refuse(command(None), INVALID)
    assert len(broker.letters) == 2 * refusals.MAX_LETTERS


async def test_a_query_is_never_kept() -> None:
    broker = Broker()
    await refusing(broker, queue=topology.AGGREGATOR_QUERIES).refuse(command(), INVALID)
    assert broker.letters == []


async def test_a_defect_in_the_description_loses_no_message() -> None:
    def fail(_: Delivery, __: MessageRejected) -> Refusal:
        raise KeyError("again")

    broker = Broker()
    refused = Refusals(cast("Publisher", broker), topology.INGEST_COMMANDS, fail)
    await refused.refuse(command(), INVALID)
    await refused.refuse(command(reply_to=REPLY), INVALID)
    assert [letter.headers["x-batchyard-reason"] for letter in broker.letters] == [str(INVALID)]
    assert [reply.type for reply in broker.replies] == ["query.failed.v1"]


async def test_once_nobody_would_be_told_the_messages_of_a_throttled_sender_are_dropped_at_once() -> None:
    broker, clock = Broker(), Clock()
    refused = refusing(broker, clock)
    sent = 0
    while not refused.drop_unread("ann", "batch.submit.v1"):
        sent += 1
        await refused.refuse(command(), INVALID)
    assert sent == len(broker.letters) == refusals.MAX_LETTERS
    assert not refused.drop_unread("bob", "batch.submit.v1")
    clock.now += refusals.INVALID_PERIOD_S
    assert not refused.drop_unread("ann", "batch.submit.v1"), "it is read again"
