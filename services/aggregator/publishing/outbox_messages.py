"""Messages that the aggregator decides in a transaction, each under the key of its fact."""

from uuid import UUID

from batchyard_contracts import topology
from batchyard_contracts.v1.events import BatchFinished, BatchStuck
from batchyard_contracts.v1.flow import BatchStopped, ItemsReopened, NotificationRequested, SourceEnded
from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH, NotificationTargets
from services.aggregator.domain.events import MAX_REOPENED_ORDINALS
from shared.postgres.outbox import OutboxMessage

_MAX_PARTS = MAX_ITEMS_PER_BATCH // MAX_REOPENED_ORDINALS + 1
"""Largest number of messages that reopen the items of a round."""


def finished_message(event: BatchFinished, traceparent: str | None) -> OutboxMessage:
    """Return the message about the end of a round."""
    return OutboxMessage.of(topology.EVENTS, event, traceparent, _key(event, event.round))


def notification_message(
    event: BatchFinished, notify: NotificationTargets | None, traceparent: str | None
) -> OutboxMessage:
    """Return the request to tell the receivers of a batch about the end of a round."""
    message = NotificationRequested(event=event, notify=notify)
    key = ":".join(map(str, (message.type, event.batch_id, event.round)))
    return OutboxMessage.of(topology.FLOW, message, traceparent, key)


def reopened_message(message: ItemsReopened, part: int, traceparent: str | None) -> OutboxMessage:
    """Return the message about one part of the items that a new round runs again."""
    return OutboxMessage.of(topology.FLOW, message, traceparent, _key(message, message.round, part))


def stopped_message(message: BatchStopped, traceparent: str | None) -> OutboxMessage:
    """Return the message that stops a round."""
    return OutboxMessage.of(topology.FLOW, message, traceparent, _key(message, message.round))


def source_ended_message(message: SourceEnded, traceparent: str | None) -> OutboxMessage:
    """Return the message about the failure of a source."""
    return OutboxMessage.of(topology.FLOW, message, traceparent, _key(message))


def stuck_message(event: BatchStuck, traceparent: str | None) -> OutboxMessage:
    """Return the message that a round is stuck."""
    return OutboxMessage.of(topology.EVENTS, event, traceparent, _key(event, event.round))


def reopened_keys(batch_id: UUID, round_: int) -> list[str]:
    """Return the keys of all messages that may have reopened items in a round."""
    return [":".join(map(str, (ItemsReopened.type, batch_id, round_, part))) for part in range(_MAX_PARTS)]


def _key(message: BatchFinished | BatchStuck | ItemsReopened | BatchStopped | SourceEnded, *parts: int) -> str:
    return ":".join(map(str, (message.type, message.batch_id, *parts)))
