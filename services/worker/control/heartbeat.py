"""Publishes `worker.heartbeat.v1`: which chunks this worker holds, and how many of its slots are in use."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import WorkerHeartbeat
from services.worker.consuming.chunk_consumer import ChunkConsumer
from services.worker.quarantine.consumer import QuarantineConsumer
from services.worker.settings import WorkerSettings
from shared.messaging.publisher import Publisher, outgoing
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient


class Heartbeat:
    """Regular heartbeats of this worker. Slots that were not used between two trims are closed on the way."""

    def __init__(
        self,
        settings: WorkerSettings,
        worker_id: str,
        publisher: Publisher,
        pulse: Pulse,
        consumers: Sequence[ChunkConsumer],
        quarantine_consumers: Sequence[QuarantineConsumer],
    ) -> None:
        self._settings, self._worker_id, self._publisher, self._pulse = settings, worker_id, publisher, pulse
        self._consumers, self._quarantine_consumers = consumers, quarantine_consumers
        self._stopping = False

    async def run(self) -> None:
        """Publish a heartbeat every `heartbeat_s` seconds until cancelled."""
        trimmed_at = time.monotonic()
        while True:
            self._pulse.beat()
            if time.monotonic() - trimmed_at >= self._settings.worker_idle_s:
                trimmed_at = time.monotonic()
                for consumer in self._consumers:
                    consumer.trim()
            await self.publish()
            await asyncio.sleep(self._settings.heartbeat_s)

    async def publish_stopping(self) -> None:
        """Publish that this worker takes no more chunks, now and with every later heartbeat."""
        self._stopping = True
        await self.publish()

    async def publish(self) -> None:
        """Publish one heartbeat; while the broker is unavailable, wait for it."""
        holders: list[ChunkConsumer | QuarantineConsumer] = [*self._consumers, *self._quarantine_consumers]
        heartbeat = WorkerHeartbeat(
            worker_id=self._worker_id,
            workloads=[consumer.name for consumer in self._consumers],
            chunks=[chunk_id for holder in holders for chunk_id in holder.chunk_ids],
            running=sum(holder.unfinished for holder in holders),
            stopping=self._stopping,
            slots={consumer.name: consumer.slots for consumer in self._consumers},
            handles_quarantine=True,
            at=datetime.now(UTC),
        )
        await retry_transient(
            lambda: self._publisher.publish([outgoing(topology.FLOW, heartbeat)]), "heartbeat", on_wait=self._pulse.beat
        )
