"""Answers queries for the start of a batch, and for the changes of rates and circuits of its destinations."""

from itertools import islice

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import HistoryQuery, HistoryReply
from services.dispatcher.persistence.rate_store import RateStore
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.state.state import DispatcherState

_MAX_SEGMENTS = 20_000
"""Page segments of a batch that are looked at for its destinations."""
_MAX_DESTINATIONS = 2000


class HistoryQueryHandler:
    """Message handler of these queries."""

    def __init__(self, state: DispatcherState, stores: Stores, rates: RateStore) -> None:
        self._state, self._stores, self._rates = state, stores, rates

    async def on_history_query(self, query: HistoryQuery, _: Envelope) -> HistoryReply:
        """Return the start of the latest round, and changes of the first 2,000 destinations, the newest first."""
        batch = await self._stores.batches.history(query.batch_id, _MAX_SEGMENTS)
        if batch is None or batch.owner != query.owner:
            return HistoryReply(found=False)
        limits = self._state.workload_queue(batch.workload).window.limits
        keys = {key for partition in islice(batch.partitions, _MAX_DESTINATIONS) for key in limits.keys_of(partition)}
        changes = await self._rates.changes_between(
            batch.workload, sorted(keys), query.since, query.before, query.limit
        )
        return HistoryReply(round=batch.round, started_at=batch.started_at, changes=changes)
