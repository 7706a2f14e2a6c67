"""Tracks the deliveries of chunks on this worker, and acknowledges each when its chunk has been reported.

After a lost connection the broker redelivers unacknowledged messages while the first copy still runs. Such a copy never
runs beside the first: it is acknowledged when that one has been reported.
"""

from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.v1.work import ChunkReady
from shared.messaging.delivery import acknowledge, is_stale

_MAX_REPORTED = 1000
EARLY_ACK_TIMEOUT_S = 600.0
"""Item timeout above which chunks are acknowledged at their start: brokers close a channel that keeps a delivery for
too long (RabbitMQ: half an hour). Lease and heartbeats recover such a chunk when its worker dies."""

ChunkKey = tuple[UUID, int]


def chunk_key(chunk: ChunkReady) -> ChunkKey:
    """Return the chunk's id and fence, which identify one dispatch of it."""
    return chunk.chunk_id, chunk.fence


class DeliveryTracker:
    """Deliveries of one consumer."""

    def __init__(self, item_timeout_s: float) -> None:
        self._acknowledge_early = item_timeout_s > EARLY_ACK_TIMEOUT_S
        self._unacknowledged: dict[ChunkKey, list[AbstractIncomingMessage]] = {}
        self._reported: dict[ChunkKey, None] = {}

    def is_known(self, key: ChunkKey) -> bool:
        """Return True when this dispatch of a chunk runs here or was reported recently."""
        return key in self._unacknowledged or key in self._reported

    def track(self, key: ChunkKey) -> None:
        """Start to collect the deliveries of a chunk that starts."""
        self._unacknowledged[key] = []

    async def add_delivery(self, key: ChunkKey, message: AbstractIncomingMessage) -> None:
        """Keep a delivery until its chunk is reported; acknowledge it now if it is, or if that may take too long.

        It replaces those whose channel was lost.
        """
        if key in self._unacknowledged and not self._acknowledge_early:
            current = [one for one in self._unacknowledged[key] if not is_stale(one)]
            self._unacknowledged[key] = [*current, message]
        else:
            await acknowledge(message)

    async def mark_reported(self, key: ChunkKey) -> None:
        """Acknowledge every delivery of a chunk whose final report is confirmed and whose channel is open."""
        deliveries = self._unacknowledged.pop(key)
        self._reported[key] = None
        if len(self._reported) > _MAX_REPORTED:
            del self._reported[next(iter(self._reported))]
        for message in deliveries:
            if not is_stale(message):
                await acknowledge(message)
