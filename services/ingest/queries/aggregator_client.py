"""Asks the services that know: the aggregator for outcomes, the dispatcher for workers, a worker for contractors."""

from typing import Protocol, TypeVar
from uuid import UUID

from batchyard_contracts.message import Message
from batchyard_contracts.topology import OPERATORS, QUERIES
from batchyard_contracts.v1.commands import RatesControl
from batchyard_contracts.v1.queries import (
    BatchesQuery,
    BatchesReply,
    BatchState,
    FailuresQuery,
    FailuresReply,
    ItemsQuery,
    ItemsReply,
    RatesQuery,
    RatesReply,
    ResultsQuery,
    ResultsReply,
    SelectionQuery,
    SelectionReply,
    WorkersQuery,
    WorkersReply,
)
from batchyard_contracts.v1.recommendations import RecommendationsQuery, RecommendationsReply
from services.ingest.domain.fault import Fault
from services.ingest.domain.refused import Refused
from shared.messaging.delivery import Kind
from shared.runtime.errors import PublishFailed, QueryRefused, QueryTimeout

_TIMEOUT_S = 5.0
_MARGIN_S = 1.0
ReplyT = TypeVar("ReplyT")


class Asks(Protocol):
    """What is needed of `shared.messaging.rpc_client.RpcClient`."""

    async def ask(
        self, question: Message, answer: Kind[ReplyT], *, timeout_s: float, exchange: str = QUERIES
    ) -> ReplyT: ...


class Ledger:
    """Questions with typed answers. Raises `Refused` (502, 503, 504) when there is none."""

    def __init__(self, questions: Asks) -> None:
        self._questions = questions

    async def state(self, owner: str, batch_id: UUID) -> BatchState | None:
        """One batch; None when the ledger has not heard of it."""
        found = await self.batches(BatchesQuery(owner=owner, batch_ids=[batch_id], limit=1))
        return found[0] if found else None

    async def batches(self, query: BatchesQuery) -> list[BatchState]:
        """Batches of an owner."""
        return (await self._ask(query, BatchesReply)).batches

    async def results(self, query: ResultsQuery) -> ResultsReply:
        """A page of outcomes."""
        return await self._ask(query, ResultsReply)

    async def failures(self, query: FailuresQuery) -> FailuresReply:
        """What failed, by cause."""
        return await self._ask(query, FailuresReply)

    async def selection(self, query: SelectionQuery) -> SelectionReply:
        """A page of the items of a selection."""
        return await self._ask(query, SelectionReply)

    async def items(self, query: ItemsQuery) -> ItemsReply:
        """Payloads, as the dispatcher keeps them."""
        return await self._ask(query, ItemsReply)

    async def workers(self) -> WorkersReply:
        """The workers that live."""
        return await self._ask(WorkersQuery(), WorkersReply)

    async def rates(self, query: RatesQuery) -> RatesReply:
        """How fast items go to their destinations."""
        return await self._ask(query, RatesReply)

    async def control_rates(self, command: RatesControl) -> RatesReply:
        """Have it changed; what holds then."""
        return await self._ask(command, RatesReply, OPERATORS)

    async def recommendations(self, query: RecommendationsQuery) -> RecommendationsReply:
        """What a worker says, which keeps the deadline of the query itself."""
        return await self._ask(query, RecommendationsReply, timeout_s=query.deadline_s + _MARGIN_S)

    async def _ask(
        self, question: Message, answer: Kind[ReplyT], exchange: str = QUERIES, timeout_s: float = _TIMEOUT_S
    ) -> ReplyT:
        try:
            return await self._questions.ask(question, answer, timeout_s=timeout_s, exchange=exchange)
        except QueryTimeout as error:
            raise Refused(Fault("service_timeout", str(error), 504)) from error
        except QueryRefused as error:
            raise Refused(Fault("service_error", str(error), 502)) from error
        except PublishFailed as error:
            raise Refused(Fault("broker_unavailable", f"{error} Try again in a moment.", 503)) from error
