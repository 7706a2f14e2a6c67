"""Returns chunks that do not run here to the dispatcher, so that it need not detect them as lost."""

from typing import Literal

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import ChunkReturned
from batchyard_contracts.v1.work import ChunkReady
from services.worker.consuming.delivery_tracker import ChunkDelivery
from shared.messaging.gathering_publisher import GatheringPublisher
from shared.messaging.publisher import Publisher, outgoing
from shared.runtime.transient import retry_transient

Reason = Literal["redelivered", "stopping"]


class ChunkReturner:
    """Publisher of `chunk.returned.v1`."""

    def __init__(self, publisher: Publisher, worker_id: str) -> None:
        self._publisher, self._worker_id = GatheringPublisher(publisher), worker_id

    async def return_chunk(self, chunk: ChunkReady, delivery: ChunkDelivery, reason: Reason) -> None:
        """Publish the return, then acknowledge. A stale delivery is left alone: the broker delivers it again."""
        if not delivery.is_stale:
            await self.publish_return(chunk, reason)
            await delivery.acknowledge()

    async def publish_return(self, chunk: ChunkReady, reason: Reason) -> None:
        """Publish that all items of the chunk without a reported outcome are to be dispatched again."""
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
