"""The quarantine consumer gives a chunk back whose execution fails, and runs the next one."""

import asyncio
from collections.abc import Callable
from typing import cast
from uuid import UUID

import pytest
from aio_pika.abc import AbstractRobustConnection
from structlog.testing import capture_logs

from batchyard_contracts.v1.work import ChunkReady
from services.worker.consuming.chunk_returner import ChunkReturner
from services.worker.quarantine import consumer
from services.worker.quarantine.consumer import QuarantineConsumer
from services.worker.settings import WorkerSettings
from shared.messaging.publisher import Publisher
from shared.runtime.errors import MessageRejected
from tests.support.consumer_harness import ConsumerHarness, chunk
from tests.support.patience import PATIENCE_S


class FakeIsolatedChunk:
    """Execution that fails for the first chunk and ends at once for the others."""

    unfinished = 0

    def __init__(self, _: object, isolated: ChunkReady, *__: object) -> None:
        self.chunk = isolated

    async def run(self, _: Callable[[], None]) -> bool:
        if self.chunk.chunk_id == UUID(int=1):
            raise MessageRejected("The body has 5000000 bytes.")
        return True


async def test_a_chunk_whose_execution_fails_is_given_back_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer, "IsolatedChunk", FakeIsolatedChunk)
    consumer_harness = ConsumerHarness()
    publisher, pulse = cast("Publisher", consumer_harness), consumer_harness.health.pulse("quarantine")
    connection = cast("AbstractRobustConnection", consumer_harness.broker)
    quarantine = QuarantineConsumer(
        consumer_harness.runner, connection, publisher, ChunkReturner(publisher, "w"), pulse, WorkerSettings()
    )
    running = asyncio.create_task(quarantine.run())
    with capture_logs() as logs:
        await consumer_harness.broker.until(lambda: len(consumer_harness.broker.consumers) == 1)
        await consumer_harness.broker.deliver(chunk(1), "poison")
        await consumer_harness.broker.deliver(chunk(2), "next")
        await consumer_harness.broker.until(lambda: consumer_harness.broker.acknowledged == ["poison", "next"])
    assert [(r.chunk_id, r.reason) for r in consumer_harness.returned] == [(UUID(int=1), "redelivered")]
    assert [e["task"] for e in logs if e["event"] == "background task failed"] == ["quarantine"]
    assert quarantine.chunk_ids == []
    assert pulse.is_alive
    quarantine.stop()
    await asyncio.wait_for(running, PATIENCE_S)
