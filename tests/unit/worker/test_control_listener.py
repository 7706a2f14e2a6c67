"""What a worker does when it hears how batches are steered."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Literal, cast
from uuid import UUID

import pytest
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.message import Message
from batchyard_contracts.v1.flow import BatchControlled, BatchStopped
from batchyard_contracts.v1.values import StopReason
from services.worker.app import Crew
from services.worker.consuming.chunk_consumer import ChunkConsumer
from services.worker.settings import WorkerSettings
from shared.messaging.publisher import Publisher
from shared.runtime.health import Pulse

BATCH = UUID(int=1)


class Remembering:
    """An intake that knows which batches are cancelled."""

    def __init__(self) -> None:
        self.cancelled: set[UUID] = set()
        self.round: int | None = None
        self.paused = False

    def cancel(self, batch_id: UUID, round_: int | None = None) -> None:
        self.cancelled.add(batch_id)
        self.round = round_

    def set_paused(self, batch_id: UUID, at: datetime, *, paused: bool) -> None:
        self.paused = paused

    def clear_cancellation(self, batch_id: UUID | None = None) -> None:
        self.cancelled = set() if batch_id is None else self.cancelled - {batch_id}


def crew_of(intake: Remembering) -> Crew:
    publisher, pulse = cast("Publisher", None), Pulse("heartbeat", 1)
    return Crew(WorkerSettings(), "w", publisher, [], [cast("ChunkConsumer", intake)], pulse)


def told(action: Literal["cancel", "retry", "pause"]) -> AbstractIncomingMessage:
    command = BatchControlled(batch_id=BATCH, owner="a", action=action, at=datetime.now(UTC))
    return arriving(command)


def arriving(told: Message) -> AbstractIncomingMessage:
    message: Any = SimpleNamespace(body=told.encode(), routing_key=told.routing_key())
    return cast("AbstractIncomingMessage", message)


@pytest.mark.parametrize(("cause", "ends"), [("deadline", True), ("failure_threshold", True), ("never_sealed", False)])
async def test_a_stopped_batch_ends_here_too_unless_nobody_is_in_a_hurry(cause: StopReason, ends: bool) -> None:
    intake = Remembering()
    stopped = BatchStopped(batch_id=BATCH, owner="a", round=2, reason=cause, detail="", at=datetime.now(UTC))
    await crew_of(intake).controlled(arriving(stopped))
    assert (intake.cancelled, intake.round) == (({BATCH}, 2) if ends else (set(), None))


async def test_a_retry_ends_what_a_cancel_began() -> None:
    intake = Remembering()
    crew = crew_of(intake)
    await crew.controlled(told("cancel"))
    await crew.controlled(told("pause"))
    assert intake.cancelled == {BATCH}
    assert intake.paused
    await crew.controlled(told("retry"))
    assert (intake.cancelled, intake.paused) == (set(), False)


async def test_after_a_cut_a_retry_may_have_been_missed() -> None:
    intake = Remembering()
    crew = crew_of(intake)
    await crew.controlled(told("cancel"))
    crew.reconnected()
    assert intake.cancelled == set()
