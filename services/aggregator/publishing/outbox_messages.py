"""Messages that the aggregator decides in a transaction, each under the key of its fact."""

from batchyard_contracts import topology
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import BatchStopped, ItemsReopened, SourceEnded
from shared.postgres.outbox import OutboxMessage


def finished_message(event: BatchFinished, traceparent: str | None) -> OutboxMessage:
    """Return the message about the end of a round."""
    return OutboxMessage.of(topology.EVENTS, event, traceparent, _key(event, event.round))


def reopened_message(message: ItemsReopened, part: int, traceparent: str | None) -> OutboxMessage:
    """Return the message about one part of the items that a new round runs again."""
    return OutboxMessage.of(topology.FLOW, message, traceparent, _key(message, message.round, part))


def stopped_message(message: BatchStopped, traceparent: str | None) -> OutboxMessage:
    """Return the message that stops a round."""
    return OutboxMessage.of(topology.FLOW, message, traceparent, _key(message, message.round))


def source_ended_message(message: SourceEnded, traceparent: str | None) -> OutboxMessage:
    """Return the message about the failure of a source."""
    return OutboxMessage.of(topology.FLOW, message, traceparent, _key(message))


def _key(message: BatchFinished | ItemsReopened | BatchStopped | SourceEnded, *parts: int) -> str:
    return ":".join(map(str, (message.type, message.batch_id, *parts)))
