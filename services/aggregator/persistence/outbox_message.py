"""A message in the outbox: decided in a transaction, published after it."""

from dataclasses import dataclass

from batchyard_contracts import topology
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import BatchStopped, ItemsReopened, SourceEnded
from shared.messaging.publisher import OutgoingMessage


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """Message to be published. The key identifies the fact, so that each fact is published under one key only."""

    key: str
    exchange: str
    routing_key: str
    type: str
    body: bytes
    traceparent: str | None

    def to_outgoing(self) -> OutgoingMessage:
        """Return the message as the publisher takes it."""
        return OutgoingMessage(self.exchange, self.routing_key, self.type, self.body, traceparent=self.traceparent)


def finished_message(event: BatchFinished, traceparent: str | None) -> OutboxMessage:
    """Return the message about the end of a round."""
    return OutboxMessage(
        f"{event.type}:{event.batch_id}:{event.round}",
        topology.EVENTS,
        event.routing_key(),
        event.type,
        event.encode(),
        traceparent,
    )


def reopened_message(message: ItemsReopened, part: int, traceparent: str | None) -> OutboxMessage:
    """Return the message about one part of the items that a new round runs again."""
    return OutboxMessage(
        f"{message.type}:{message.batch_id}:{message.round}:{part}",
        topology.FLOW,
        message.routing_key(),
        message.type,
        message.encode(),
        traceparent,
    )


def stopped_message(message: BatchStopped, traceparent: str | None) -> OutboxMessage:
    """Return the message that stops a round."""
    return OutboxMessage(
        f"{message.type}:{message.batch_id}:{message.round}",
        topology.FLOW,
        message.routing_key(),
        message.type,
        message.encode(),
        traceparent,
    )


def source_ended_message(message: SourceEnded, traceparent: str | None) -> OutboxMessage:
    """Return the message about the failure of a source."""
    return OutboxMessage(
        f"{message.type}:{message.batch_id}",
        topology.FLOW,
        message.routing_key(),
        message.type,
        message.encode(),
        traceparent,
    )
