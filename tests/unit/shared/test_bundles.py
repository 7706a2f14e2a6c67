"""Bundles: they are made of messages that may travel together, and taken apart they give these messages again."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from aio_pika.abc import AbstractIncomingMessage
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts import topology
from batchyard_contracts.message import (
    BUNDLE_CONTENT_TYPE,
    CONTENT_TYPE,
    MAX_BUNDLE_MESSAGES,
    MAX_MESSAGE_BYTES,
)
from shared.messaging.bundles import MAX_BUNDLED_BYTES, deliveries, message_count
from shared.messaging.delivery import Delivery, decode
from shared.messaging.frame_decoder import FAULT_HEADER, PropertyFault
from shared.messaging.publisher import OutgoingMessage, bundled
from shared.runtime.errors import MessageRejected

SETTLED = "items.settled.v1"
TRACES = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 4)]


def message(body: bytes = b"{}", type_: str = SETTLED, exchange: str = topology.FLOW, **fields: str) -> OutgoingMessage:
    return OutgoingMessage(exchange, type_, type_, body, **fields)  # type: ignore[arg-type]


def received(sent: OutgoingMessage, **fields: object) -> AbstractIncomingMessage:
    """Return a message as the broker delivers it."""
    traced = {"traceparent": sent.traceparent} if sent.traceparent else {}
    properties = {
        "body": sent.body,
        "type": sent.type,
        "content_type": sent.content_type,
        "content_encoding": None,
        "exchange": sent.exchange,
        "routing_key": sent.routing_key,
        "message_id": "b",
        "correlation_id": sent.correlation_id,
        "reply_to": None,
        "app_id": "worker",
        "user_id": None,
        "timestamp": None,
        "redelivered": False,
        "headers": sent.headers | traced,
    }
    return cast("AbstractIncomingMessage", SimpleNamespace(**properties | fields))


def taken_apart(sent: Sequence[OutgoingMessage]) -> list[Delivery]:
    return [delivery for one in sent for delivery in deliveries(received(one))]


def kind_of(sent: OutgoingMessage) -> tuple[object, ...]:
    return sent.exchange, sent.routing_key, sent.type, sent.group


bodies = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.binary(min_size=1, max_size=40).map(lambda body: body.replace(b"\n", b" ")),
    st.integers(1, MAX_BUNDLED_BYTES).map(lambda size: b"x" * size),
)
messages = st.builds(
    OutgoingMessage,
    st.sampled_from([topology.FLOW, topology.WORK, topology.EVENTS]),
    st.sampled_from(["a", "b"]),
    st.sampled_from([SETTLED, "batch.stopped.v1"]),
    bodies,
    correlation_id=st.sampled_from([None, "1", "2"]),
    traceparent=st.sampled_from([None, *TRACES]),
    group=st.sampled_from([None, 0, 1]),
)


@given(st.lists(messages, max_size=3 * MAX_BUNDLE_MESSAGES))
def test_a_bundle_taken_apart_gives_the_messages_that_went_in(sent: list[OutgoingMessage]) -> None:
    packed = bundled(sent)
    for key in map(kind_of, sent):
        before, after = ([one for one in some if kind_of(one) == key] for some in (sent, packed))
        got = taken_apart([one for one in after if one.content_type == BUNDLE_CONTENT_TYPE])
        alone = [one for one in after if one.content_type == CONTENT_TYPE]
        assert sorted([one.body for one in got] + [one.body for one in alone]) == sorted(one.body for one in before)
        traces = [(one.body, one.envelope.traceparent) for one in got] + [(one.body, one.traceparent) for one in alone]
        assert sorted(map(str, traces)) == sorted(str((one.body, one.traceparent)) for one in before)
        assert {one.envelope.type for one in got} <= {before[0].type}
    for one in packed:
        if one.content_type == BUNDLE_CONTENT_TYPE:
            assert 2 <= message_count(received(one)) <= MAX_BUNDLE_MESSAGES
            assert len(one.body) <= MAX_BUNDLED_BYTES


def test_messages_of_one_type_keep_their_order() -> None:
    numbers = [b"%d" % number for number in range(3 * MAX_BUNDLE_MESSAGES)]
    sent = [message(body, type_) for body in numbers for type_ in ("items.page.v1", "batch.accepted.v1")]
    got = taken_apart(bundled(sent))
    assert [one.body for one in got if one.envelope.type == "items.page.v1"] == numbers
    assert [one.body for one in got if one.envelope.type == "batch.accepted.v1"] == numbers


def test_a_group_of_chunks_leaves_as_one_bundle_and_others_alone() -> None:
    chunks = [
        OutgoingMessage(topology.WORK, "work.w.normal", "chunk.ready.v1", b"{}", group=group)
        for group in (0, None, 1, 0, None, 1)
    ]
    assert [message_count(received(one)) for one in bundled(chunks)] == [2, 1, 2, 1]


@pytest.mark.parametrize("exchange", [topology.EVENTS, topology.COMMANDS, ""])
def test_messages_that_others_receive_travel_alone(exchange: str) -> None:
    sent = [message(exchange=exchange), message(exchange=exchange)]
    assert bundled(sent) == sent


def test_messages_that_workers_receive_travel_alone() -> None:
    sent = [message(type_="batch.controlled.v1"), message(type_="batch.controlled.v1")]
    assert bundled(sent) == sent


def test_a_body_with_a_line_break_travels_alone() -> None:
    sent = [message(b'{\n"a": 1}'), message(), message()]
    assert [one.content_type for one in bundled(sent)] == [CONTENT_TYPE, BUNDLE_CONTENT_TYPE]


def test_a_large_message_travels_alone() -> None:
    large = b"x" * MAX_BUNDLED_BYTES
    packed = bundled([message(b"1"), message(large), message(large), message(b"2")])
    assert [message_count(received(one)) for one in packed] == [1, 1, 1, 1]


def test_each_message_has_an_id_and_the_trace_of_its_own() -> None:
    (bundle,) = bundled([message(traceparent=TRACES[0]), message(), message(traceparent=TRACES[1])])
    got = deliveries(received(bundle))
    assert [one.envelope.message_id for one in got] == ["b.0", "b.1", "b.2"]
    assert [one.envelope.traceparent for one in got] == [TRACES[0], None, TRACES[1]]


def test_a_trace_that_all_messages_have_is_sent_once() -> None:
    (bundle,) = bundled([message(traceparent=TRACES[0]), message(traceparent=TRACES[0])])
    assert bundle.headers == {"traceparent": TRACES[0]}
    assert [one.envelope.traceparent for one in deliveries(received(bundle))] == [TRACES[0]] * 2


def test_a_list_of_traces_of_another_length_is_ignored() -> None:
    (bundle,) = bundled([message(traceparent=TRACES[0]), message()])
    got = deliveries(received(bundle, headers={"traceparents": TRACES[0]}))
    assert [one.envelope.traceparent for one in got] == [None, None]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{}\n" * MAX_BUNDLE_MESSAGES + b"{}", "101 messages; at most 100"),
        (b"x" * MAX_MESSAGE_BYTES + b"\n{}", f"bytes; at most {MAX_MESSAGE_BYTES}"),
    ],
)
def test_a_bundle_over_a_limit_is_rejected_as_a_whole(body: bytes, reason: str) -> None:
    (whole,) = deliveries(received(message(body), content_type=BUNDLE_CONTENT_TYPE))
    with pytest.raises(MessageRejected, match=reason):
        decode(whole, {})
    assert (whole.body, whole.content_type) == (body, BUNDLE_CONTENT_TYPE)


def test_a_bundle_whose_properties_cannot_be_read_is_rejected_as_a_whole() -> None:
    faulty = received(
        message(b"{}\n{}"), content_type=BUNDLE_CONTENT_TYPE, headers={FAULT_HEADER: PropertyFault("bad table")}
    )
    (whole,) = deliveries(faulty)
    with pytest.raises(MessageRejected, match="bad table"):
        decode(whole, {})


def test_a_message_of_another_content_type_is_not_taken_apart() -> None:
    (whole,) = deliveries(received(message(b"{}\n{}")))
    assert whole.body == b"{}\n{}"
