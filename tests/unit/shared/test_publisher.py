"""A message that can never be sent is refused for good: nobody sends it again, and no other message waits for it."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pamqp import commands, frame, header

from batchyard_contracts import topology
from batchyard_contracts.message import MAX_MESSAGE_BYTES
from shared.messaging import gathering_publisher
from shared.messaging.gathering_publisher import GatheringPublisher
from shared.messaging.publisher import MAX_SHORT_BYTES, OutgoingMessage, PublishChannel, Publisher, check_sendable
from shared.runtime.errors import MessageRejected, PublishFailed
from shared.runtime.transient import is_transient

SURROGATE = "\ud800"


def message(**fields: Any) -> OutgoingMessage:
    return OutgoingMessage(**{"exchange": topology.FLOW, "routing_key": "k", "type": "t", "body": b"{}"} | fields)


def encode(sent: OutgoingMessage) -> None:
    """Encode the properties of a message as the AMQP library does; raises if it cannot."""
    properties = commands.Basic.Properties(
        message_type=sent.type, correlation_id=sent.correlation_id, reply_to=sent.reply_to, headers=dict(sent.headers)
    )
    frame.marshal(commands.Basic.Publish(exchange=sent.exchange, routing_key=sent.routing_key), 1)
    frame.marshal(header.ContentHeader(body_size=len(sent.body), properties=properties), 1)


class Broker:
    """Channel to a broker that accepts everything, or whose library raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.sent = error, list[bytes]()

    async def get(self) -> Any:
        async def underlay() -> Any:
            return SimpleNamespace(basic_publish=self._publish)

        return SimpleNamespace(is_closed=False, get_underlay_channel=underlay)

    async def _publish(self, body: bytes, **_: object) -> None:
        if self.error is not None and b"bad" in body:
            raise self.error
        self.sent.append(body)

    def publisher(self) -> Publisher:
        return Publisher("test", cast("PublishChannel", self))


UNSENDABLE = [
    {"body": b"x" * (MAX_MESSAGE_BYTES + 1)},
    {"routing_key": "k" * 256},
    {"correlation_id": "é" * 128},
    {"correlation_id": SURROGATE},
    {"type": "t" * 256},
    {"reply_to": "q" * 256},
    {"headers": {"h" * 256: "v"}},
    {"headers": {"h": SURROGATE}},
    {"traceparent": SURROGATE},
]


@pytest.mark.parametrize("fields", UNSENDABLE, ids=lambda fields: next(iter(fields)))
async def test_a_message_that_can_never_be_sent_raises_no_transient_error(fields: dict[str, Any]) -> None:
    broker = Broker()
    with pytest.raises(MessageRejected) as refused:
        await broker.publisher().publish([message(), message(**fields)])
    assert not is_transient(refused.value)
    assert broker.sent == []


@pytest.mark.parametrize("length", [MAX_SHORT_BYTES, MAX_SHORT_BYTES + 1])
@pytest.mark.parametrize("name", ["routing_key", "type", "correlation_id", "reply_to"])
def test_the_limit_of_a_short_string_is_that_of_the_library(name: str, length: int) -> None:
    sent, errors = message(**{name: "x" * length}), list[type[Exception]]()
    for check in (check_sendable, encode):
        try:
            check(sent)
        except (MessageRejected, TypeError, ValueError) as error:
            errors.append(type(error))
    assert len(errors) == (2 if length > MAX_SHORT_BYTES else 0)


@pytest.mark.parametrize(
    ("error", "is_final"),
    [(TypeError("str required"), True), (ValueError("too long"), True), (ConnectionResetError(), False)],
)
async def test_an_error_of_the_encoder_is_final_and_a_lost_connection_is_not(error: Exception, is_final: bool) -> None:
    with pytest.raises((MessageRejected, PublishFailed)) as failed:
        await Broker(error).publisher().publish([message(body=b"bad")])
    assert is_transient(failed.value) is not is_final


async def test_the_messages_of_other_callers_are_sent_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering_publisher, "_MAX_IN_PROGRESS", 1)
    broker = Broker(TypeError("str required"))
    gathering = GatheringPublisher(broker.publisher())
    bodies: Sequence[bytes] = (b"1", b"2", b"bad", b"3")
    ends = await asyncio.gather(*(gathering.publish([message(body=body)]) for body in bodies), return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), type(None), MessageRejected, type(None)]
    assert set(broker.sent) == {b"1", b"2", b"3"}
