"""The control listener applies commands on batches to the chunks of this worker."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Literal, cast
from uuid import UUID

import pytest
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.message import Message
from batchyard_contracts.v1.flow import BatchControlled, BatchStopped
from batchyard_contracts.v1.values import StopReason
from services.worker.consuming.chunk_consumer import ChunkConsumer
from services.worker.control.control_listener import ControlListener

BATCH = UUID(int=1)


class FakeConsumer:
    """A consumer that records which batches are cancelled."""

    def __init__(self) -> None:
        self.cancelled: set[UUID] = set()
        self.round: int | None = None
        self.paused = False

    def cancel(self, batch_id: UUID, round_: int | None = None) -> None:
        self.cancelled.add(batch_id)
        self.round = round_

    def set_paused(self, batch_id: UUID, at: datetime, *, paused: bool, round_: int | None = None) -> None:
        self.paused = paused
        self.round = round_

    def clear_cancellation(self, batch_id: UUID | None = None) -> None:
        self.cancelled = set() if batch_id is None else self.cancelled - {batch_id}


def listener_of(consumer: FakeConsumer) -> ControlListener:
    return ControlListener([cast("ChunkConsumer", consumer)])


def command(action: Literal["cancel", "retry", "pause"], round_: int | None = None) -> AbstractIncomingMessage:
    return arriving(BatchControlled(batch_id=BATCH, owner="a", action=action, round=round_, at=datetime.now(UTC)))


def arriving(content: Message) -> AbstractIncomingMessage:
    message: Any = SimpleNamespace(body=content.encode(), routing_key=content.routing_key())
    return cast("AbstractIncomingMessage", message)


@pytest.mark.parametrize(("cause", "ends"), [("deadline", True), ("failure_threshold", True), ("never_sealed", False)])
async def test_a_stopped_batch_is_cancelled_here_unless_its_items_may_end(cause: StopReason, ends: bool) -> None:
    consumer = FakeConsumer()
    stopped = BatchStopped(batch_id=BATCH, owner="a", round=2, reason=cause, detail="", at=datetime.now(UTC))
    await listener_of(consumer).on_message(arriving(stopped))
    assert (consumer.cancelled, consumer.round) == (({BATCH}, 2) if ends else (set(), None))


async def test_a_cancel_and_a_pause_apply_to_their_round() -> None:
    consumer = FakeConsumer()
    await listener_of(consumer).on_message(command("cancel", 3))
    assert (consumer.cancelled, consumer.round) == ({BATCH}, 3)
    await listener_of(consumer).on_message(command("pause", 4))
    assert (consumer.paused, consumer.round) == (True, 4)


async def test_a_retry_lifts_a_cancellation() -> None:
    consumer = FakeConsumer()
    listener = listener_of(consumer)
    await listener.on_message(command("cancel"))
    await listener.on_message(command("pause"))
    assert consumer.cancelled == {BATCH}
    assert consumer.paused
    await listener.on_message(command("retry"))
    assert (consumer.cancelled, consumer.paused) == (set(), False)


async def test_cancellations_are_cleared_after_a_lost_connection() -> None:
    consumer = FakeConsumer()
    listener = listener_of(consumer)
    await listener.on_message(command("cancel"))
    listener.on_reconnected()
    assert consumer.cancelled == set()
