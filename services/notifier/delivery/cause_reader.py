"""Reads the most frequent causes of a batch's failures from the aggregator, once for each round."""

from typing import Protocol
from uuid import UUID

import structlog
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.queries import FailureGroup, FailuresQuery, FailuresReply
from services.notifier.persistence.store import ClaimedDelivery
from shared.runtime.errors import PublishFailed, QueryRefused, QueryTimeout

log = structlog.get_logger()
_GROUPS: TypeAdapter[list[FailureGroup]] = TypeAdapter(list[FailureGroup])
_MAX_GROUPS = 100
"""Largest number of causes that are stored, which is more than an e-mail names."""


class QueryClient(Protocol):
    """Interface of `shared.messaging.rpc_client.RpcClient` that is used here."""

    async def query(self, message: FailuresQuery, reply: type[FailuresReply], *, timeout_s: float) -> FailuresReply: ...


class CauseStore(Protocol):
    """Interface of `DeliveryStore` that is used here."""

    async def save_causes(self, batch_id: UUID, round_: int, causes: str) -> str: ...


class CauseReader:
    """Reader of causes. They are stored with the round, so that every e-mail about it names the same ones."""

    def __init__(self, client: QueryClient, store: CauseStore) -> None:
        self._client = client
        self._store = store

    async def causes(self, claimed: ClaimedDelivery, event: BatchFinished, timeout_s: float) -> list[FailureGroup]:
        """Return the causes, the most frequent first; empty when nothing failed, or when the aggregator is away."""
        if not event.counts.failed + event.counts.expired:
            return []
        text = claimed.causes
        try:
            if text is None:
                query = FailuresQuery(owner=event.owner, batch_id=event.batch_id)
                reply = await self._client.query(query, FailuresReply, timeout_s=timeout_s)
                asked = _GROUPS.dump_json(reply.groups[:_MAX_GROUPS], exclude_none=True).decode()
                text = await self._store.save_causes(event.batch_id, event.round, asked)
            return _GROUPS.validate_json(text)
        except (QueryTimeout, QueryRefused, PublishFailed, ValidationError) as error:
            log.warning("e-mail without causes", batch_id=str(event.batch_id), error=str(error)[:300])
            return []
