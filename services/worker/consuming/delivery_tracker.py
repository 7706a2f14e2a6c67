"""Which deliveries brought the chunks that run here, and when each is acknowledged.

After a cut the broker delivers again what was not acknowledged, while the first copy still runs. Such a copy is
never run beside the first: it is acknowledged when that one has been reported.
"""

from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.v1.work import ChunkReady
from shared.messaging.delivery import acknowledge, is_stale

_MAX_REPORTED = 1000
EARLY_ACK_TIMEOUT_S = 600.0
"""Chunks whose items may take longer are acknowledged when they begin: brokers close a channel that keeps a delivery
for too long (RabbitMQ: half an hour). Lease and heartbeats bring such a chunk back when its worker dies."""

ChunkKey = tuple[UUID, int]


def chunk_key(chunk: ChunkReady) -> ChunkKey:
    """What tells one giving out of a chunk from another."""
    return chunk.chunk_id, chunk.fence


class DeliveryTracker:
    """The deliveries of one intake."""

    def __init__(self, item_timeout_s: float) -> None:
        self._acknowledge_early = item_timeout_s > EARLY_ACK_TIMEOUT_S
        self._unacknowledged: dict[ChunkKey, list[AbstractIncomingMessage]] = {}
        self._reported: dict[ChunkKey, None] = {}

    def is_known(self, key: ChunkKey) -> bool:
        """Whether this very giving out runs here, or was reported a while ago."""
        return key in self._unacknowledged or key in self._reported

    def track(self, key: ChunkKey) -> None:
        """The chunk runs from now on."""
        self._unacknowledged[key] = []

    async def add_delivery(self, key: ChunkKey, message: AbstractIncomingMessage) -> None:
        """Acknowledge a delivery of a known chunk in its time."""
        if key in self._unacknowledged and not self._acknowledge_early:
            self._unacknowledged[key].append(message)
        else:
            await acknowledge(message)

    async def mark_reported(self, key: ChunkKey) -> None:
        """The final report is confirmed: acknowledge every delivery whose channel is still there."""
        deliveries = self._unacknowledged.pop(key)
        self._reported[key] = None
        if len(self._reported) > _MAX_REPORTED:
            del self._reported[next(iter(self._reported))]
        for message in deliveries:
            if not is_stale(message):
                await acknowledge(message)
