"""Decoding of a delivery: whatever is wrong with a body, it is a rejection of that message."""

from typing import cast

import pytest
from aio_pika import Message
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.message import Envelope
from shared.messaging.delivery import Delivery, decode, to_delivery
from shared.runtime.errors import MessageRejected


class BrokenDecoder:
    """Decoder with a defect."""

    type = "batch.seal.v1"

    @classmethod
    def decode(cls, body: bytes) -> str:
        """Decode a body; raises an error that no caller expects."""
        return body.decode("ascii")


def test_an_unexpected_error_of_a_decoder_rejects_the_message() -> None:
    delivery = Delivery(b"\xff", Envelope(BrokenDecoder.type, "1"))
    with pytest.raises(MessageRejected, match=r"Not a readable batch\.seal\.v1: UnicodeDecodeError"):
        decode(delivery, {BrokenDecoder.type: BrokenDecoder})


@pytest.mark.parametrize(("coding", "is_read"), [(None, True), ("utf-8", True), ("gzip", False), ("BR", False)])
async def test_a_compressed_body_is_refused_with_the_name_of_the_property(coding: str | None, is_read: bool) -> None:
    message = Message(b"{}", type="batch.seal.v1", content_encoding=coding)
    delivery = to_delivery(cast("AbstractIncomingMessage", Arrived(message)))
    if is_read:
        assert delivery.fault is None
    else:
        assert "`content_encoding`" in str(delivery.fault)


class Arrived:
    """Message as it would arrive."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self.redelivered, self.exchange, self.routing_key = False, "", ""

    def __getattr__(self, name: str) -> object:
        return getattr(self._message, name)
