"""Has what belongs to batches deleted when its time has passed, and makes sure that every deletion is completed."""

from typing import ClassVar

import structlog

from batchyard_contracts.v1.values import DataKind
from services.ingest.domain.retention import KINDS, Retention, RetentionRules
from services.ingest.persistence.deletion_store import FIRST, DeletionStore, Place
from shared.observability import metrics
from shared.postgres.deletions import LotSize
from shared.postgres.outbox import Outbox

log = structlog.get_logger()
_expired = metrics.counter("batchyard.retention.expired", "Batches of which a kind was deleted by retention, by kind.")
_MOST_BATCHES = 500
_PAUSE_S = 0.1
"""Pause in seconds between two lots, so that others can use the database."""
_ANSWER_S = 600.0
"""Seconds without a report after which a service is asked again to delete its part."""
_MOST_AGAIN = 100


class RetentionSweeper:
    """Goes through the batches that have ended, the oldest first, a lot of each kind at a time. Nothing of a batch that
    runs is looked at. Of several processes each may do it: what one has had deleted, the next leaves alone."""

    INTERVAL_S: ClassVar[float] = 30.0

    def __init__(self, store: DeletionStore, outbox: Outbox, defaults: Retention, deletion_days: float) -> None:
        self._store, self._outbox, self._defaults, self._deletion_days = store, outbox, defaults, deletion_days
        self._after: dict[DataKind, Place] = dict.fromkeys(KINDS, FIRST)
        self._lot = LotSize(_MOST_BATCHES)

    async def sweep(self) -> float | None:
        """Look at one lot of batches for each kind; return a pause if there are more."""
        rules = await self._store.rules(self._defaults)
        try:
            has_more = [await self._sweep_kind(kind, rules) for kind in KINDS]
        except TimeoutError:
            self._lot.shrink()
            raise
        self._lot.grow()
        await self._outbox.deliver(await self._store.request_again(_ANSWER_S, _MOST_AGAIN))
        forgotten = await self._store.forget(self._deletion_days, _MOST_BATCHES)
        return _PAUSE_S if any(has_more) or forgotten else None

    async def _sweep_kind(self, kind: DataKind, rules: RetentionRules) -> bool:
        """Have a kind deleted of the next batches whose time has passed; return whether there are more."""
        shortest = rules.shortest(kind)
        if shortest is None:
            return False
        limit = self._lot.rows
        found = await self._store.ended_batches(kind, shortest, self._after[kind], limit)
        due = [
            batch.place.batch_id
            for batch in found
            if (days := rules.days(kind, batch.owner, batch.workload)) is not None and batch.days > days
        ]
        if due:
            posted = await self._store.expire(kind, due)
            _expired.add(len(posted), {"kind": kind})
            log.info("retention has passed", kind=kind, batches=len(posted))
            await self._outbox.deliver(posted)
        has_more = len(found) == limit
        self._after[kind] = found[-1].place if has_more else FIRST
        return has_more
