"""Answers queries for the deliveries of a batch."""

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import DeliveriesQuery, DeliveriesReply, DeliveryState
from batchyard_contracts.v1.queries.deliveries import MAX_DELIVERIES
from services.notifier.domain.shown_target import shown_target
from services.notifier.persistence.store import DeliveryRecord, DeliveryStore


class QueryHandler:
    """Handler of queries to the notifier."""

    def __init__(self, store: DeliveryStore) -> None:
        self._store = store

    async def on_deliveries_query(self, query: DeliveriesQuery, _: Envelope) -> DeliveriesReply:
        """Return the deliveries of an owner's batch; there are none of a batch of another owner."""
        records = await self._store.deliveries(query.batch_id, query.owner, MAX_DELIVERIES)
        return DeliveriesReply(deliveries=[_to_state(record) for record in records])


def _to_state(record: DeliveryRecord) -> DeliveryState:
    return DeliveryState(
        round=record.round,
        kind=record.target.kind,
        target=shown_target(record.target),
        state=record.state,
        attempts=record.attempts,
        status=record.status,
        error=record.reason,
        next_attempt_at=record.due_at,
        ended_at=record.ended_at,
    )
