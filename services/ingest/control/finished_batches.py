"""Finds batches that have finished, which alone may have a new round."""

from uuid import UUID

from batchyard_contracts.v1.queries import BatchState
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import NOT_FOUND, IngestError
from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.domain.rejection import Rejection
from services.ingest.persistence.store import BatchStore
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.submission.backpressure import Backpressure

NOT_FINISHED = Rejection(
    "not_finished",
    "Only a finished batch can be retried, or have results accepted. Wait until it finishes, or cancel it.",
    409,
)


class FinishedBatches:
    """Look-up of batches that have finished, with their state in the ledger."""

    def __init__(self, store: BatchStore, aggregator: AggregatorClient, backpressure: Backpressure) -> None:
        self._store, self._aggregator, self._backpressure = store, aggregator, backpressure

    async def get(self, owner: str, batch_id: UUID) -> tuple[BatchHeader, BatchState]:
        """Return a finished batch of an owner; raises `IngestError`."""
        header = await self._store.get(batch_id, owner)
        if header is None:
            raise IngestError(NOT_FOUND)
        state = await self._aggregator.state(owner, batch_id)
        if state is None or state.status != "finished":
            raise IngestError(NOT_FINISHED)
        if not header.finished:  # its event was missed, or comes yet: follow-ups count this end whatever comes after
            self._backpressure.record_progress(header.batch_id, ProgressSnapshot.from_state(state))
        return header, state
