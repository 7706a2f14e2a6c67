"""Gives chunks back that are not run here, so that nobody has to find out that they are lost."""

from typing import Literal

from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import ChunkReturned
from batchyard_contracts.v1.work import ChunkReady
from shared.messaging.delivery import acknowledge, is_stale
from shared.messaging.publisher import Publisher, outgoing
from shared.runtime.transient import retry_transient

Reason = Literal["redelivered", "stopping"]


class ChunkReturner:
    """Tells the dispatcher."""

    def __init__(self, publisher: Publisher, worker_id: str) -> None:
        self._publisher, self._worker_id = publisher, worker_id

    async def return_chunk(self, chunk: ChunkReady, message: AbstractIncomingMessage, reason: Reason) -> None:
        """Tell first, acknowledge afterwards. What the broker has back already it delivers again by itself."""
        if not is_stale(message):
            await self.publish_return(chunk, reason)
            await acknowledge(message)

    async def publish_return(self, chunk: ChunkReady, reason: Reason) -> None:
        """What is not reported of it is to go out again."""
        returned = ChunkReturned(
            chunk_id=chunk.chunk_id,
            fence=chunk.fence,
            batch_id=chunk.batch_id,
            workload=chunk.workload,
            worker_id=self._worker_id,
            reason=reason,
        )
        sent = outgoing(topology.FLOW, returned, correlation_id=str(chunk.batch_id))
        await retry_transient(lambda: self._publisher.publish([sent]), "return")
