"""Publishes messages with AMQP properties that the library itself refuses to write."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiormq
import pamqp.frame
from aiormq.abc import AbstractChannel, ChannelFrame
from pamqp.body import ContentBody
from pamqp.commands import Basic

NOT_UTF8 = b"\xf0\xf1\xf2\xf3"


def _table(entries: bytes) -> bytes:
    return struct.pack(">I", len(entries)) + entries


def _nested(depth: int) -> bytes:
    entries = b""
    for _ in range(depth):
        entries = b"\x01aF" + _table(entries)
    return _table(entries)


ODD_PROPERTIES: dict[str, dict[str, bytes]] = {
    "microseconds": {"timestamp": struct.pack(">q", 1_700_000_000_000_000)},
    "far past": {"timestamp": struct.pack(">q", -(2**63))},
    "correlation id": {"correlation_id": bytes([len(NOT_UTF8)]) + NOT_UTF8},
    "message id": {"message_id": bytes([len(NOT_UTF8)]) + NOT_UTF8},
    "app id": {"app_id": bytes([len(NOT_UTF8)]) + NOT_UTF8},
    "content type": {"content_type": bytes([len(NOT_UTF8)]) + NOT_UTF8},
    "nul in the message id": {"message_id": b"\x03a\x00b"},
    "header name": {"headers": _table(bytes([len(NOT_UTF8)]) + NOT_UTF8 + b"V")},
    "header time": {"headers": _table(b"\x01aT" + struct.pack(">q", 2**62))},
    "deep headers": {"headers": _nested(2000)},
    "large headers": {"headers": _table(b"\x01aV" * 10_000)},
}
"""Properties by what is odd about them, in the form in which they travel."""


@asynccontextmanager
async def odd_channel(url: str) -> AsyncIterator[AbstractChannel]:
    """Open a channel for `publish_odd`."""
    async with aiormq.connect(url) as connection:
        yield await connection.channel(publisher_confirms=False)


async def publish_odd(
    channel: AbstractChannel, exchange: str, key: bytes, kind: str, body: bytes, properties: dict[str, bytes]
) -> None:
    """Publish a message whose properties and routing key are these bytes; `kind` is its type."""
    values: dict[str, Any] = {"delivery_mode": b"\x02", "message_type": bytes([len(kind)]) + kind.encode()} | properties
    order = [name for name in Basic.Properties.__slots__ if name in values]
    flags = sum(Basic.Properties.flags[name] for name in order)
    header = struct.pack(">HHQH", 60, 0, len(body), flags) + b"".join(values[name] for name in order)
    publish = pamqp.frame.marshal(Basic.Publish(exchange=exchange, routing_key="?" * len(key)), channel.number)
    frames = (
        publish.replace(b"?" * len(key), key),
        struct.pack(">BHI", 2, channel.number, len(header)) + header + b"\xce",
        pamqp.frame.marshal(ContentBody(body), channel.number) if body else b"",
    )
    await channel.connection.write_queue.put(
        ChannelFrame(payload=b"".join(frames), should_close=False, drain_future=None)
    )
