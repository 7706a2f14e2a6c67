"""Client for queries: outcomes from the aggregator, payloads, workers and rates from the dispatcher, deliveries from
the notifier, answers to questions from a worker."""

from http import HTTPStatus
from typing import Protocol, TypeVar
from uuid import UUID

from batchyard_contracts.message import Message
from batchyard_contracts.topology import OPERATORS
from batchyard_contracts.v1.commands import RatesControl
from batchyard_contracts.v1.queries import (
    AttemptsQuery,
    AttemptsReply,
    BatchesQuery,
    BatchesReply,
    BatchState,
    DeliveriesQuery,
    DeliveriesReply,
    EndsQuery,
    EndsReply,
    EstimateQuery,
    EstimateReply,
    FailuresQuery,
    FailuresReply,
    HistoryQuery,
    HistoryReply,
    ItemsQuery,
    ItemsReply,
    LoadQuery,
    LoadReply,
    OutcomesQuery,
    OutcomesReply,
    RatesQuery,
    RatesReply,
    ReasonsQuery,
    ReasonsReply,
    ResultsQuery,
    ResultsReply,
    SelectionQuery,
    SelectionReply,
    SeriesQuery,
    SeriesReply,
    StatesQuery,
    StatesReply,
    StreamQuery,
    WaitingQuery,
    WaitingReply,
    WorkersQuery,
    WorkersReply,
    WorkloadQuery,
    WorkloadReply,
)
from services.ingest.domain.ingest_error import IngestError, too_large
from services.ingest.domain.rejection import Rejection
from services.ingest.queries.result_page import ResultPage, StreamedPage
from shared.messaging.delivery import MessageDecoder
from shared.runtime.errors import MessageRejected, PublishFailed, QueryRefused, QueryTimeout

_TIMEOUT_S = 5.0
_TIMEOUT_MARGIN_S = 1.0
_DELIVERIES_TIMEOUT_S = 2.0
_ATTEMPTS_TIMEOUT_S = 1.0
_ESTIMATE_TIMEOUT_S = 15.0
ReplyT = TypeVar("ReplyT")


class QueryClient(Protocol):
    """Interface of `shared.messaging.rpc_client.RpcClient` that is used here."""

    async def query(
        self,
        question: Message,
        answer: MessageDecoder[ReplyT],
        *,
        timeout_s: float,
        exchange: str | None = None,
        older_type: str | None = None,
    ) -> ReplyT: ...


class AggregatorClient:
    """Queries with typed replies. Raises `IngestError` (413, 502, 503, 504) when a query fails."""

    def __init__(self, client: QueryClient) -> None:
        self._client = client

    async def state(self, owner: str, batch_id: UUID) -> BatchState | None:
        """Return the state of a batch; None when the aggregator does not have it yet."""
        found = await self.batches(BatchesQuery(owner=owner, batch_ids=[batch_id], limit=1))
        return found[0] if found else None

    async def batches(self, query: BatchesQuery) -> list[BatchState]:
        """Return the batches that match a query, in as many messages as they need."""
        reply = await self._query(query, BatchesReply)
        found = reply.batches
        while reply.truncated:
            cursor = "after" if query.oldest_first else "before"
            rest = {cursor: found[-1].batch_id, "limit": query.limit - len(found)}
            reply = await self._query(query.model_copy(update=rest), BatchesReply)
            found = [*found, *reply.batches]
        return found

    async def results(self, query: ResultsQuery) -> ResultPage:
        """Return a page of outcomes."""
        return await self._query(query, ResultPage, older_type=ResultsReply.type)

    async def stream(self, query: StreamQuery) -> StreamedPage:
        """Return the next outcomes of a batch; a page without cursor of a batch that is not recorded yet."""
        return await self._query(query, StreamedPage)

    async def failures(self, query: FailuresQuery) -> FailuresReply:
        """Return the failures of a batch, grouped by cause."""
        return await self._query(query, FailuresReply)

    async def selection(self, query: SelectionQuery) -> SelectionReply:
        """Return a page of the ordinals that a selection matches."""
        return await self._query(query, SelectionReply)

    async def items(self, query: ItemsQuery) -> ItemsReply:
        """Return payloads that the dispatcher stores."""
        return await self._query(query, ItemsReply)

    async def states(self, query: StatesQuery) -> StatesReply:
        """Return items that the dispatcher stores, and what it does with them."""
        return await self._query(query, StatesReply)

    async def outcomes(self, query: OutcomesQuery) -> OutcomesReply:
        """Return outcomes without their results."""
        return await self._query(query, OutcomesReply)

    async def ends(self, query: EndsQuery, timeout_s: float) -> EndsReply:
        """Return the batches that ended lately."""
        return await self._query(query, EndsReply, timeout_s=timeout_s)

    async def attempts(self, query: AttemptsQuery) -> AttemptsReply:
        """Return the failed attempts of an item."""
        return await self._query(query, AttemptsReply, timeout_s=_ATTEMPTS_TIMEOUT_S)

    async def series(self, query: SeriesQuery) -> SeriesReply:
        """Return the points of a chart."""
        return await self._query(query, SeriesReply)

    async def history(self, query: HistoryQuery) -> HistoryReply:
        """Return the start of a batch, and the changes of its destinations."""
        return await self._query(query, HistoryReply)

    async def load(self, query: LoadQuery, timeout_s: float) -> LoadReply:
        """Return what the dispatcher has in hand."""
        return await self._query(query, LoadReply, timeout_s=timeout_s)

    async def waiting(self, query: WaitingQuery, timeout_s: float) -> WaitingReply:
        """Return the reasons why batches and workloads wait."""
        return await self._query(query, WaitingReply, timeout_s=timeout_s)

    async def reasons(self, query: ReasonsQuery) -> ReasonsReply:
        """Return what holds back the items of a batch."""
        return await self._query(query, ReasonsReply)

    async def estimate(self, query: EstimateQuery) -> EstimateReply:
        """Return the end that a batch would have."""
        return await self._query(query, EstimateReply, timeout_s=_ESTIMATE_TIMEOUT_S)

    async def deliveries(self, query: DeliveriesQuery) -> DeliveriesReply:
        """Return the deliveries of a batch's notifications."""
        return await self._query(query, DeliveriesReply, timeout_s=_DELIVERIES_TIMEOUT_S)

    async def workers(self) -> WorkersReply:
        """Return the live workers."""
        return await self._query(WorkersQuery(), WorkersReply)

    async def rates(self, query: RatesQuery) -> RatesReply:
        """Return the rates of destinations."""
        return await self._query(query, RatesReply)

    async def control_rates(self, command: RatesControl) -> RatesReply:
        """Change a rate; returns the rates that apply from now on."""
        return await self._query(command, RatesReply, OPERATORS)

    async def ask(self, query: WorkloadQuery, timeout_s: float) -> WorkloadReply:
        """Return the reply of a worker, which observes the question's `timeout_s` itself."""
        try:
            return await self._query(query, WorkloadReply, timeout_s=timeout_s + _TIMEOUT_MARGIN_S)
        except IngestError as error:
            if error.rejection.status != HTTPStatus.GATEWAY_TIMEOUT:
                raise
            detail = f"No worker answered {query.question!r} of {query.workload!r} within {timeout_s:g} s."
            raise IngestError(
                Rejection("question_timeout", f"{detail} Check that one runs it, then try again.", 504)
            ) from error

    async def _query(
        self,
        question: Message,
        answer: MessageDecoder[ReplyT],
        exchange: str | None = None,
        timeout_s: float = _TIMEOUT_S,
        older_type: str | None = None,
    ) -> ReplyT:
        try:
            return await self._client.query(
                question, answer, timeout_s=timeout_s, exchange=exchange, older_type=older_type
            )
        except QueryTimeout as error:
            raise IngestError(Rejection("service_timeout", str(error), 504)) from error
        except MessageRejected as error:
            raise IngestError(too_large(len(question.encode()))) from error
        except QueryRefused as error:
            raise IngestError(Rejection("service_error", str(error), 502)) from error
        except PublishFailed as error:
            raise IngestError(Rejection("broker_unavailable", f"{error} Try again in a moment.", 503)) from error
