"""Queries for the notifications of a batch: webhooks and e-mails, and what became of them."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.values import BatchId, Count, Detail, Owner, Round, Time

MAX_DELIVERIES = 100
"""Largest number of deliveries in one reply: those of the newest rounds."""
MAX_SHOWN_TARGET = 400
"""Largest number of characters of an address as a reply shows it."""


class DeliveriesQuery(Message):
    """Query for the deliveries of an owner's batch."""

    type: ClassVar[str] = "deliveries.query.v1"
    owner: Owner
    batch_id: BatchId


class DeliveryState(Value):
    """State of the delivery of one round's end to one receiver."""

    round: Round
    kind: Literal["webhook", "email"]
    target: Annotated[str, StringConstraints(max_length=MAX_SHOWN_TARGET)]
    """E-mail address, or URL without the parts that may be secret: `…` stands for them."""
    state: Literal["pending", "delivered", "failed"]
    attempts: Count = 0
    """Number of attempts that were started."""
    status: Annotated[int, Field(ge=0, le=999)] | None = None
    """HTTP status or SMTP code of the newest answer; None: there was none."""
    error: Detail | None = None
    """Reason why the newest attempt failed; None: it did not, or there was none."""
    next_attempt_at: Time | None = None
    """Time from which the next attempt is made; None: there is none."""
    ended_at: Time | None = None
    """Time at which it was delivered, or failed for good."""


class DeliveriesReply(Message):
    """Reply with the deliveries of the batch, those of the newest round first. A batch that has not ended has none."""

    type: ClassVar[str] = "deliveries.reply.v1"
    deliveries: Annotated[list[DeliveryState], Field(max_length=MAX_DELIVERIES)] = []
