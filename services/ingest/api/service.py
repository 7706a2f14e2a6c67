"""The application layer of ingest, which the HTTP routes call."""

from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

import structlog
from pydantic import JsonValue

from batchyard_contracts.v1.queries import MAX_PAGE, BatchesQuery, BatchState
from services.ingest.control.cache_invalidator import CacheInvalidator
from services.ingest.control.control_handler import BatchControlHandler
from services.ingest.control.result_acceptor import ResultAcceptor
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import NOT_FOUND, IngestError
from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.domain.rejection import Rejection
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import RegisteredWorkload, WorkloadRegistry, check_ready
from services.ingest.progress.hub import ProgressHub
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.queries.estimate_service import EstimateService
from services.ingest.queries.waiting_reasons import WaitingReasons
from services.ingest.submission.append import BatchAppender
from services.ingest.submission.submit import BatchSubmitter
from services.ingest.submission.upload_service import UploadService

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class IngestService:
    """Components of the application behind one object, and the queries that combine several of them."""

    submitter: BatchSubmitter
    uploads: UploadService
    appender: BatchAppender
    control_handler: BatchControlHandler
    result_acceptor: ResultAcceptor
    cache_invalidator: CacheInvalidator
    registry: WorkloadRegistry
    aggregator: AggregatorClient
    waiting_reasons: WaitingReasons
    progress_hub: ProgressHub
    store: BatchStore
    estimates: EstimateService

    async def header(self, owner: str, batch_id: UUID) -> BatchHeader:
        """Return the header of an owner's batch; raises `IngestError` (404) when there is none."""
        header = await self.store.get(batch_id, owner)
        if header is None:
            raise IngestError(NOT_FOUND)
        return header

    async def state(self, owner: str, batch_id: UUID) -> BatchState:
        """Return the state of a batch as the aggregator has it, or from its header when the aggregator does not have
        it yet."""
        header = await self.header(owner, batch_id)
        return await self.aggregator.state(owner, batch_id) or header.to_state()

    async def explained_state(self, owner: str, batch_id: UUID) -> BatchState:
        """Return the state of a batch with the reason for which it waits, and the forecast of its end."""
        explained = await self.waiting_reasons.explain(owner, [await self.state(owner, batch_id)])
        (state,) = self.progress_hub.forecasts.add_to(explained)
        return state

    async def initial_snapshot(self, owner: str, batch_id: UUID) -> ProgressSnapshot:
        """Return the progress of a batch for a client that starts to watch it."""
        saved = await self.progress_hub.saved_snapshot(batch_id)
        if saved is None:
            state = await self.state(owner, batch_id)
            return self.progress_hub.with_forecast(batch_id, ProgressSnapshot.from_state(state))
        if saved.final:  # a new round may have started since
            with suppress(IngestError):
                known = ProgressSnapshot.from_state(await self.state(owner, batch_id))
                return max(saved, known, key=lambda snapshot: snapshot.rank)
        return saved

    async def ask(self, workload: RegisteredWorkload, question: str, body: bytes) -> JsonValue:
        """Return the answer of a worker to a question; raises `IngestError`."""
        check_ready(workload)
        query = workload.questions.validate(question, body)
        if isinstance(query, Rejection):
            raise IngestError(query)
        reply = await self.aggregator.ask(query, workload.manifest.questions[question].timeout_s)
        if error := reply.error:
            status = HTTPStatus.UNPROCESSABLE_ENTITY if error.scope == "request" else HTTPStatus.BAD_GATEWAY
            raise IngestError(Rejection(error.code, error.message or error.code, status))
        return reply.answer

    async def catch_up(self, owner: str, batch_id: UUID) -> None:
        """Publish the state that the aggregator has of a batch to its watchers."""
        state = await self.aggregator.state(owner, batch_id)
        if state is not None:
            self.progress_hub.publish(batch_id, ProgressSnapshot.from_state(state))

    async def catch_up_all(self) -> bool:
        """Publish to all watchers the states that they may have missed without events; False when the aggregator did
        not answer."""
        self.progress_hub.mark_missed()
        try:
            for owner, batch_ids in self.progress_hub.watched_batches().items():
                for start in range(0, len(batch_ids), MAX_PAGE):
                    part = batch_ids[start : start + MAX_PAGE]
                    for state in await self.aggregator.batches(
                        BatchesQuery(owner=owner, batch_ids=part, limit=MAX_PAGE)
                    ):
                        self.progress_hub.publish(state.batch_id, ProgressSnapshot.from_state(state))
        except IngestError as error:
            log.warning("progress may have been missed", error=str(error))
            return False
        return True
