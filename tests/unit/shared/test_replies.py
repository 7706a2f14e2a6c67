"""Replies go to queues of replies alone: to those of their asker, by the default exchange only where that may be."""

from typing import cast

import pytest

from batchyard_contracts.message import Envelope
from batchyard_contracts.topology import REPLIES, reply_queue
from batchyard_contracts.v1.queries import QueryFailed
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.messaging.replies import send_reply

ANNS = reply_queue("ann", "0af3")
DIRECT = "amq.rabbitmq.reply-to.g1h2"


class Outbox:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[OutgoingMessage] = []

    async def publish(self, messages: list[OutgoingMessage]) -> None:
        self.sent += messages


@pytest.mark.parametrize(
    ("reply_to", "owner", "by_default_exchange", "exchange"),
    [
        (ANNS, "ann", False, REPLIES),
        (ANNS, "ann", True, REPLIES),
        (ANNS, None, False, REPLIES),
        (ANNS, "bob", True, None),
        (reply_queue("ann", "guessed"), "ann", True, None),
        (reply_queue("ann", "*"), "ann", True, None),
        (DIRECT, "ann", True, ""),
        (DIRECT, "ann", False, None),
        ("amq.gen-Xq", "ann", True, ""),
        ("amq.gen-Xq", "ann", False, None),
        ("batchyard.reply.former", "ann", True, ""),
        ("aggregator.outcomes", "ann", True, None),
        (None, "ann", True, None),
    ],
)
async def test_a_reply_goes_to_the_queue_of_its_asker(
    reply_to: str | None, owner: str | None, by_default_exchange: bool, exchange: str | None
) -> None:
    outbox = Outbox()
    envelope = Envelope(type="results.query.v1", message_id="m", reply_to=reply_to, owner=owner)
    reply = QueryFailed(code="query_refused", detail="no")
    was_sent = await send_reply(cast("Publisher", outbox), envelope, reply, by_default_exchange=by_default_exchange)
    assert was_sent == (exchange is not None)
    assert [(one.exchange, one.routing_key) for one in outbox.sent] == ([(exchange, reply_to)] if was_sent else [])
