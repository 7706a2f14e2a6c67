"""Which deliveries brought the chunks that run here, and when each is acknowledged.

After a cut the broker delivers again what was not acknowledged, while the first copy still runs. Such a copy is
never run beside the first: it is acknowledged when that one has been reported.
"""

from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.v1.work import ChunkReady
from shared.messaging.delivery import acknowledge, is_stale

_REMEMBERED = 1000
LONG_S = 600.0
"""Chunks whose items may take longer are acknowledged when they begin: brokers close a channel that keeps a delivery
for too long (RabbitMQ: half an hour). Lease and heartbeats bring such a chunk back when its worker dies."""

Key = tuple[UUID, int]


def key_of(chunk: ChunkReady) -> Key:
    """What tells one giving out of a chunk from another."""
    return chunk.chunk_id, chunk.fence


class Claims:
    """The deliveries of one intake."""

    def __init__(self, item_timeout_s: float) -> None:
        self._at_once = item_timeout_s > LONG_S
        self._held: dict[Key, list[AbstractIncomingMessage]] = {}
        self._reported: dict[Key, None] = {}

    def knows(self, key: Key) -> bool:
        """Whether this very giving out runs here, or was reported a while ago."""
        return key in self._held or key in self._reported

    def begin(self, key: Key) -> None:
        """The chunk runs from now on."""
        self._held[key] = []

    async def hold(self, key: Key, message: AbstractIncomingMessage) -> None:
        """Acknowledge a delivery of a known chunk in its time."""
        if key in self._held and not self._at_once:
            self._held[key].append(message)
        else:
            await acknowledge(message)

    async def reported(self, key: Key) -> None:
        """The final report is confirmed: acknowledge every delivery whose channel is still there."""
        held = self._held.pop(key)
        self._reported[key] = None
        if len(self._reported) > _REMEMBERED:
            del self._reported[next(iter(self._reported))]
        for message in held:
            if not is_stale(message):
                await acknowledge(message)
