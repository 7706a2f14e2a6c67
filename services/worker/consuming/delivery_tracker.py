"""Tracks the deliveries of chunks on this worker, and acknowledges each when its chunk has been reported.

A bundle of chunks is taken apart, and acknowledged when the last of its chunks is.

After a lost connection the broker redelivers unacknowledged messages while the first copy still runs. Such a copy never
runs beside the first: it is acknowledged when that one has been reported.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.v1.work import ChunkReady
from shared.messaging.bundles import deliveries
from shared.messaging.delivery import Delivery, acknowledge, is_stale

_MAX_REPORTED = 1000
EARLY_ACK_TIMEOUT_S = 600.0
"""Item timeout above which chunks are acknowledged at their start: brokers close a channel that keeps a delivery for
too long (RabbitMQ: half an hour). Lease and heartbeats recover such a chunk when its worker dies."""

ChunkKey = tuple[UUID, int]


def chunk_key(chunk: ChunkReady) -> ChunkKey:
    """Return the chunk's id and fence, which identify one dispatch of it."""
    return chunk.chunk_id, chunk.fence


class ChunkDelivery:
    """One delivery of one chunk."""

    __slots__ = ("_bundle", "_is_acknowledged", "arrived_at", "delivery", "is_bundled")

    def __init__(self, delivery: Delivery, bundle: "_Bundle") -> None:
        self.delivery = delivery
        self.is_bundled = bundle.unacknowledged > 1
        self.arrived_at = time.monotonic()
        self._bundle = bundle
        self._is_acknowledged = False

    @property
    def is_redelivered(self) -> bool:
        """True if the broker has delivered the message before."""
        return self.delivery.envelope.redelivered

    @property
    def traceparent(self) -> str | None:
        """Trace context of the chunk."""
        return self.delivery.envelope.traceparent

    @property
    def is_stale(self) -> bool:
        """True if its channel is closed, so that the broker delivers the chunk again."""
        return is_stale(self._bundle.message)

    async def acknowledge(self) -> None:
        """Acknowledge the chunk, and the bundle with the last of its chunks."""
        if not self._is_acknowledged:
            self._is_acknowledged = True
            self._bundle.unacknowledged -= 1
            if not self._bundle.unacknowledged:
                await acknowledge(self._bundle.message)


@dataclass(slots=True)
class _Bundle:
    """A message of the broker, and how many of its chunks are not acknowledged."""

    message: AbstractIncomingMessage
    unacknowledged: int


def chunk_deliveries(message: AbstractIncomingMessage) -> Sequence[ChunkDelivery]:
    """Return the deliveries of the chunks that a message brings."""
    parts = deliveries(message)
    bundle = _Bundle(message, len(parts))
    return [ChunkDelivery(part, bundle) for part in parts]


class DeliveryTracker:
    """Deliveries of one consumer."""

    def __init__(self, item_timeout_s: float) -> None:
        self._acknowledge_early = item_timeout_s > EARLY_ACK_TIMEOUT_S
        self._unacknowledged: dict[ChunkKey, list[ChunkDelivery]] = {}
        self._reported: dict[ChunkKey, None] = {}

    def is_known(self, key: ChunkKey) -> bool:
        """Return True when this dispatch of a chunk runs here or was reported recently."""
        return key in self._unacknowledged or key in self._reported

    def track(self, key: ChunkKey) -> None:
        """Start to collect the deliveries of a chunk that starts."""
        self._unacknowledged[key] = []

    async def add_delivery(self, key: ChunkKey, delivery: ChunkDelivery) -> None:
        """Keep a delivery until its chunk is reported; acknowledge it now if it is, or if that may take too long.

        It replaces those whose channel was lost.
        """
        if key in self._unacknowledged and not self._acknowledge_early:
            current = [one for one in self._unacknowledged[key] if not one.is_stale]
            self._unacknowledged[key] = [*current, delivery]
        else:
            await delivery.acknowledge()

    async def mark_reported(self, key: ChunkKey) -> None:
        """Acknowledge every delivery of a chunk whose final report is confirmed and whose channel is open."""
        deliveries = self._unacknowledged.pop(key)
        self._reported[key] = None
        if len(self._reported) > _MAX_REPORTED:
            del self._reported[next(iter(self._reported))]
        for delivery in deliveries:
            if not delivery.is_stale:
                await delivery.acknowledge()
