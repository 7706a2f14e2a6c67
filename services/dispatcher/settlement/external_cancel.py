"""Tells workers which items still run elsewhere and are no longer wanted, so that the work there is stopped.

This is best effort: such a chunk has no lease and no report, and it may be sent twice.
"""

import uuid
from collections.abc import Iterable

import structlog

from batchyard_contracts import topology
from batchyard_contracts.v1.work import ChunkHead
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.item_line import has_state
from services.dispatcher.state.state import DispatcherState
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.runtime.errors import PublishFailed

log = structlog.get_logger()
_ITEMS_PER_CHUNK = 20


class ExternalCancel:
    """Publishes external cancels for workloads that support them."""

    def __init__(self, state: DispatcherState, publisher: Publisher) -> None:
        self._state, self._publisher = state, publisher

    async def publish(self, batch: Batch, items: Iterable[tuple[str, bytes]]) -> None:
        """Publish items of a batch, each with its partition and line. Items without a state run nowhere else and are
        left out."""
        if not self._state.workload_queue(batch.workload).window.manifest.external_cancel:
            return
        by_partition: dict[str, list[bytes]] = {}
        for partition, line in items:
            if has_state(line):
                by_partition.setdefault(partition, []).append(line)
        chunks = [
            self._chunk(batch, partition, lines[start : start + _ITEMS_PER_CHUNK])
            for partition, lines in by_partition.items()
            for start in range(0, len(lines), _ITEMS_PER_CHUNK)
        ]
        try:
            await self._publisher.publish(chunks)
        except PublishFailed as error:
            log.warning("external cancel not sent", batch_id=str(batch.batch_id), error=str(error))

    def _chunk(self, batch: Batch, partition: str, lines: list[bytes]) -> OutgoingMessage:
        head = ChunkHead(
            chunk_id=uuid.uuid4(),
            fence=1,
            batch_id=batch.batch_id,
            owner=batch.owner,
            workload=batch.workload,
            priority="immediate",
            partition=partition,
            round=batch.round,
            attempt=1,
            external_cancel=True,
        )
        body = head.with_items(lines)
        return OutgoingMessage(topology.WORK, head.routing_key(), head.type, body, traceparent=batch.traceparent)
