"""Frames with properties that pamqp cannot decode: the message arrives without them, and with the reason."""

import struct
import time
from collections.abc import Callable

import pamqp.exceptions
import pamqp.frame
import pytest
from aio_pika import IncomingMessage
from aiormq.abc import DeliveredMessage
from hypothesis import example, given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from batchyard_contracts.v1.commands import BatchSeal
from shared.messaging.delivery import decode as decode_body
from shared.messaging.delivery import to_delivery
from shared.messaging.frame_decoder import FAULT_HEADER, MAX_PROPERTIES_BYTES, decode_frame
from shared.runtime.errors import MessageRejected

FIXED = struct.pack(">HHQ", 60, 0, 7)
TEXTS = ["content_type", "content_encoding", "correlation_id", "reply_to", "message_id", "message_type", "app_id"]
NOT_UTF8 = b"\x04\xf0\xf1\xf2\xf3"
FAR_TIMES = [1_700_000_000_000_000, 2**63 - 1, -(2**63), 253_402_300_800_000]


def properties_frame(flags: int, values: bytes) -> bytes:
    """Return a frame of properties as it comes from the network."""
    payload = FIXED + struct.pack(">H", flags) + values
    return struct.pack(">BHI", 2, 5, len(payload)) + payload + b"\xce"


def table(entries: bytes) -> bytes:
    return struct.pack(">I", len(entries)) + entries


def nested(depth: int) -> bytes:
    entries = b""
    for _ in range(depth):
        entries = b"\x01aF" + table(entries)
    return table(entries)


def received(frame: bytes) -> IncomingMessage:
    """Return the message as the AMQP library gives it to a consumer."""
    size, channel, header = decode_frame(frame)
    assert (size, channel) == (len(frame), 5)
    assert isinstance(header, ContentHeader)
    assert header.body_size == 7
    deliver = Basic.Deliver("tag", 1, False, "batchyard.commands", "batch.seal.v1")
    return IncomingMessage(DeliveredMessage(delivery=deliver, header=header, body=b"{}", channel=None))  # type: ignore[arg-type]


def fault_of(frame: bytes) -> str:
    """Return the reason with which a message is rejected."""
    with pytest.raises(MessageRejected) as caught:
        decode_body(to_delivery(received(frame)), {BatchSeal.type: BatchSeal})
    return str(caught.value)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_not_utf8_is_named_and_the_others_are_kept(name: str) -> None:
    neighbour = "app_id" if name != "app_id" else "message_id"
    values = {name: NOT_UTF8, neighbour: b"\x02me"}
    order = [one for one in Basic.Properties.__slots__ if one in values]
    frame = properties_frame(sum(Basic.Properties.flags[one] for one in order), b"".join(values[one] for one in order))

    fault = fault_of(frame)

    assert fault.startswith(f"The AMQP property `{name.removeprefix('message_') if name == 'message_type' else name}` ")
    assert "\\xf0\\xf1\\xf2\\xf3" in fault
    assert getattr(received(frame), neighbour) == "me"


@pytest.mark.parametrize("seconds", FAR_TIMES)
def test_a_time_out_of_range_is_named(seconds: int) -> None:
    assert "`timestamp`" in fault_of(properties_frame(64, struct.pack(">q", seconds)))


@pytest.mark.parametrize(
    "headers",
    [
        table(b"\x02\xff\xfeV"),  # a name that is not UTF-8
        table(b"\x01aQ1234"),  # a type that AMQP does not know
        table(b"\x01aT" + struct.pack(">q", FAR_TIMES[0])),
        table(b"\x01aA" + struct.pack(">I", 99)),  # an array that is longer than its table
        table(b"\x01aI\x01"),  # a number that ends too early
        nested(2000),
        table(b"\x00V" * (MAX_PROPERTIES_BYTES // 2)),
    ],
)
def test_headers_that_cannot_be_decoded_are_named(headers: bytes) -> None:
    message = received(properties_frame(8192 | 32, headers + b"\x01t"))

    assert message.type == "t"
    assert "propert" in (to_delivery(message).fault or "")


@pytest.mark.parametrize(("flag", "value"), [(4096, b"\x07"), (256, b"\x03abc"), (256, b"\x03nan"), (32, b"\x02a\x00")])
def test_a_value_that_the_library_or_the_database_refuses_is_named(flag: int, value: bytes) -> None:
    assert "The AMQP property" in fault_of(properties_frame(flag, value))


def test_a_sender_cannot_give_a_fault_of_his_own() -> None:
    name = FAULT_HEADER.encode()
    forged = table(bytes([len(name)]) + name + b"S" + struct.pack(">I", 2) + b"no")

    assert to_delivery(received(properties_frame(8192, forged))).fault is None


@pytest.mark.parametrize("method", [Basic.Deliver, Basic.GetOk, Basic.Return])
def test_a_routing_key_that_is_not_utf8_reaches_the_consumer(method: Callable[..., Basic.Deliver]) -> None:
    sent = method(exchange="batchyard.commands", routing_key="batch.submit.X")
    given = {"delivery_tag": 200, "message_count": 200, "reply_code": 200, "consumer_tag": "tag", "reply_text": "é"}
    for name in given.keys() & set(sent.__slots__):
        setattr(sent, name, given[name])
    frame = pamqp.frame.marshal(sent, 3).replace(b"submit.X", b"submit.\xff")

    size, channel, got = decode_frame(frame)

    assert (size, channel) == (len(frame), 3)
    assert isinstance(got, type(sent))
    expected = dict(sent) | {"routing_key": "batch.submit.?"}
    if "reply_text" in expected:
        expected["reply_text"] = "??"
    assert dict(got) == expected


def test_a_broken_frame_of_the_broker_is_still_an_error() -> None:
    with pytest.raises(pamqp.exceptions.UnmarshalingException):
        decode_frame(b"\x01\x00\x00\x00\x00\x00\x04\xff\xff\xff\xff\xce")


@given(st.integers(0, 0xFFFF), st.binary(max_size=400))
@example(0xFFFF, b"")
@example(8192, b"\xff\xff\xff\xff")
def test_no_properties_whatsoever_raise(flags: int, values: bytes) -> None:
    message = received(properties_frame(flags, values))
    delivery = to_delivery(message)

    assert all(isinstance(text, str | None) for text in (message.type, message.message_id, delivery.fault))


@given(st.binary(max_size=200))
def test_no_table_of_headers_whatsoever_raises(entries: bytes) -> None:
    to_delivery(received(properties_frame(8192, table(entries))))


def test_properties_that_pamqp_decodes_are_decoded_alike() -> None:
    sent = ContentHeader(body_size=7, properties=Basic.Properties(headers={"a": [1, {"b": "c"}]}, message_id="é"))
    frame = pamqp.frame.marshal(sent, 5)

    message = received(frame)

    assert (message.headers, message.message_id) == ({"a": [1, {"b": "c"}]}, "é")
    assert to_delivery(message).fault is None


def test_large_tables_take_no_time_that_grows_with_their_square() -> None:
    def seconds(size: int) -> float:
        frame = properties_frame(8192, table(b"\x00V" * (size // 2)))
        started = time.perf_counter()
        received(frame)
        return time.perf_counter() - started

    largest_decoded = max(seconds(MAX_PROPERTIES_BYTES - 64) for _ in range(3))

    assert min(seconds(128 * 1024) for _ in range(3)) < largest_decoded
