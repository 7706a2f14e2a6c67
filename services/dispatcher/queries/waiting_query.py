"""Answers queries for the reasons why batches wait, and for batches of which the dispatcher holds nothing.

The answers come from memory. The tables are read only about batches without an item there.
"""

import time
from datetime import UTC, datetime

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import (
    HeldQuery,
    HeldReply,
    UnheldBatch,
    WaitingBatch,
    WaitingQuery,
    WaitingReply,
    WorkloadCapacity,
)
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.waiting import Wait, is_held, reason_of, start_of, wait_of_batch, wait_of_workload
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.state.state import DispatcherState


class WaitingQueryHandler:
    """Message handlers of these queries."""

    def __init__(self, state: DispatcherState, stores: Stores) -> None:
        self._state, self._stores = state, stores

    async def on_waiting_query(self, query: WaitingQuery, _: Envelope) -> WaitingReply:
        """Return the reasons for which the owner's batches wait, and the capacity of every workload."""
        now, at = time.monotonic(), datetime.now(UTC)
        asked = [self._state.batches.get(batch_id) for batch_id in query.batch_ids]
        batches = [batch for batch in asked if batch is not None and batch.owner == query.owner]
        waits = {batch.batch_id: wait for batch in batches if (wait := self._wait(batch, now))}
        unexplained = [b.batch_id for b in batches if b.batch_id not in waits and not self._is_held(b)]
        if unexplained:
            for batch_id, seconds in await self._stores.retries.next_retries(unexplained):
                waits[batch_id] = Wait(
                    "retry_due_later", "All its remaining items wait to be tried again.", now + seconds
                )
        return WaitingReply(
            batches=[
                WaitingBatch(batch_id=batch_id, reason=reason_of(wait, now, at)) for batch_id, wait in waits.items()
            ],
            workloads=[
                WorkloadCapacity(
                    workload=name,
                    workers=self._state.workers.count(name),
                    waiting=reason_of(wait, now, at) if (wait := wait_of_workload(queue.window)) else None,
                )
                for name, queue in sorted(self._state.workload_queues.items())
                if queue.is_announced
            ],
        )

    async def on_held_query(self, query: HeldQuery, _: Envelope) -> HeldReply:
        """Return the batches of which neither memory nor the tables have an item to run."""
        known = (self._state.batches.get(batch_id) for batch_id in query.batch_ids)
        held = {batch.batch_id for batch in known if batch is not None and self._is_held(batch)}
        unsure = [batch_id for batch_id in query.batch_ids if batch_id not in held]
        rows = await self._stores.batches.unheld(unsure) if unsure else []
        return HeldReply(unheld=[UnheldBatch(batch_id=batch_id, round=round_) for batch_id, round_ in rows])

    def _wait(self, batch: Batch, now: float) -> Wait | None:
        queue, window = self._state.batch_queue(batch), self._state.workload_queue(batch.workload).window
        starts_at = start_of(batch, now, datetime.now(UTC))
        return wait_of_batch(batch, queue, window, self._state.batch_limits.get(batch.batch_id), now, starts_at)

    def _is_held(self, batch: Batch) -> bool:
        window = self._state.workload_queue(batch.workload).window
        return is_held(batch.batch_id, self._state.batch_queue(batch), window)
