"""Bundles: several messages of one type in one AMQP message, so that many small messages cost little.

A bundle has the content type `application/x-ndjson`, and the body of one message on each line. Its AMQP properties are
those of all its messages, except for the id, which is that of the bundle and the place of the line, and the trace
contexts, which the header `traceparents` lists where they differ. A bundle is a matter of transport: whoever receives
one handles each of its messages as if it had come alone.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.message import BUNDLE_CONTENT_TYPE, MAX_BUNDLE_MESSAGES, MAX_MESSAGE_BYTES, Envelope
from shared.messaging.delivery import Delivery, to_delivery

MAX_BUNDLED_BYTES = 256 * 1024
"""Largest size of a bundle, in bytes: larger messages gain nothing from it."""
TRACES_HEADER = "traceparents"
_NEWLINE = b"\n"
T = TypeVar("T")
_Key = TypeVar("_Key", bound=Hashable)


def group(messages: Sequence[tuple[_Key | None, int, T]]) -> Iterator[list[T]]:
    """Yield the messages in groups that may leave as one bundle, in the order of their first messages.

    A message is given with its key and its size in bytes. Messages with equal keys travel together, in order, as far as
    the limits of a bundle permit; one with the key None travels alone.
    """
    groups: list[list[T]] = []
    open_groups: dict[_Key, tuple[list[T], int]] = {}
    for key, size, message in messages:
        if key is None:
            groups.append([message])
            continue
        members, used = open_groups.get(key, (None, 0))
        if members is None or len(members) >= MAX_BUNDLE_MESSAGES or used + size >= MAX_BUNDLED_BYTES:
            members, used = [], 0
            groups.append(members)
        members.append(message)
        open_groups[key] = (members, used + size + 1)
    yield from groups


def join(messages: Sequence[tuple[bytes, str | None]]) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a bundle of these bodies, each of which has its trace context."""
    traces = [trace or "" for _, trace in messages]
    headers: dict[str, str] = {}
    if any(traces):
        headers = {"traceparent": traces[0]} if len(set(traces)) == 1 else {TRACES_HEADER: ",".join(traces)}
    return _NEWLINE.join(body for body, _ in messages), headers


def is_bundle(message: AbstractIncomingMessage) -> bool:
    """Tell whether a received message is a bundle."""
    return message.content_type == BUNDLE_CONTENT_TYPE


def message_count(message: AbstractIncomingMessage) -> int:
    """Return the number of messages that a received message brings."""
    return message.body.count(_NEWLINE) + 1 if is_bundle(message) else 1


def deliveries(message: AbstractIncomingMessage) -> list[Delivery]:
    """Return the messages that a received message brings. A bundle that cannot be taken apart is one, with a fault."""
    whole = to_delivery(message)
    if not is_bundle(message):
        return [whole]
    if fault := whole.fault or _fault_of(whole.body):
        return [replace(whole, fault=fault, content_type=BUNDLE_CONTENT_TYPE)]
    bodies = whole.body.split(_NEWLINE)
    shared = {name: value for name, value in whole.envelope.headers.items() if name != TRACES_HEADER}
    traces = _traces(whole.envelope.headers, len(bodies))
    return [
        Delivery(body, _envelope(whole.envelope, place, shared | {"traceparent": trace} if trace else shared))
        for place, (body, trace) in enumerate(zip(bodies, traces, strict=True))
    ]


def _fault_of(body: bytes) -> str | None:
    if len(body) > MAX_MESSAGE_BYTES:
        return f"The bundle has {len(body)} bytes; at most {MAX_MESSAGE_BYTES} are allowed. Send its messages alone."
    if (count := body.count(_NEWLINE) + 1) > MAX_BUNDLE_MESSAGES:
        return f"The bundle has {count} messages; at most {MAX_BUNDLE_MESSAGES} are allowed. Send several bundles."
    return None


def _traces(headers: Mapping[str, object], count: int) -> Sequence[str]:
    """Return the trace context of each message, empty where it is the one of the whole bundle or unknown."""
    listed = headers.get(TRACES_HEADER)
    traces = listed.split(",") if isinstance(listed, str) else []
    return traces if len(traces) == count else [""] * count


def _envelope(whole: Envelope, place: int, headers: dict[str, object]) -> Envelope:
    return Envelope(
        type=whole.type,
        message_id=f"{whole.message_id}.{place}",
        correlation_id=whole.correlation_id,
        reply_to=whole.reply_to,
        app_id=whole.app_id,
        user_id=whole.user_id,
        timestamp=whole.timestamp,
        redelivered=whole.redelivered,
        headers=headers,
    )
