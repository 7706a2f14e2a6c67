"""Publishes `worker.heartbeat.v1`: which chunks this worker holds, and how many of its slots are in use."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import WorkerHeartbeat
from services.worker.consuming.chunk_consumer import ChunkConsumer
from services.worker.quarantine.consumer import QuarantineConsumer
from services.worker.settings import WorkerSettings
from shared.messaging.publisher import Publisher, outgoing
from shared.runtime.transient import retry_transient


class Heartbeat:
    """Regular heartbeats of this worker. Slots that were not used between two trims are closed on the way."""

    def __init__(
        self,
        settings: WorkerSettings,
        worker_id: str,
        publisher: Publisher,
        consumers: Sequence[ChunkConsumer],
        quarantine_consumers: Sequence[QuarantineConsumer],
    ) -> None:
        self._settings, self._worker_id, self._publisher = settings, worker_id, publisher
        self._consumers, self._quarantine_consumers = consumers, quarantine_consumers
        self._stopping = False
        self._trimmed_at = time.monotonic()

    async def beat(self) -> None:
        """Publish a heartbeat, and close unused slots if that is due."""
        now = time.monotonic()
        if now - self._trimmed_at >= self._settings.worker_idle_s:
            self._trimmed_at = now
            for consumer in self._consumers:
                consumer.trim()
        await self._publish_once()

    async def publish_stopping(self) -> None:
        """Publish that this worker takes no more chunks, now and with every later heartbeat."""
        self._stopping = True
        await self.publish()

    async def publish(self) -> None:
        """Publish a heartbeat; while the broker is unavailable, wait for it."""
        await retry_transient(self._publish_once, "heartbeat")

    async def _publish_once(self) -> None:
        holders: list[ChunkConsumer | QuarantineConsumer] = [*self._consumers, *self._quarantine_consumers]
        heartbeat = WorkerHeartbeat(
            worker_id=self._worker_id,
            workloads=[consumer.workload for consumer in self._consumers],
            chunks=[chunk_id for holder in holders for chunk_id in holder.chunk_ids],
            running=sum(holder.unfinished for holder in holders),
            stopping=self._stopping,
            slots={consumer.workload: consumer.slots for consumer in self._consumers},
            handles_quarantine=True,
            takes_bundles=True,
            at=datetime.now(UTC),
        )
        await self._publisher.publish([outgoing(topology.FLOW, heartbeat)])
