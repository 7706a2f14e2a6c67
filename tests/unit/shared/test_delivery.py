"""Decoding of a delivery: whatever is wrong with a body, it is a rejection of that message."""

import pytest

from batchyard_contracts.message import Envelope
from shared.messaging.delivery import Delivery, decode
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
