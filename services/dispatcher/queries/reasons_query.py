"""Answers queries for everything that holds back the items of one batch.

The answer is made from memory, a bounded number of partitions at a time, so that chunks go out meanwhile. The table is
read for the retries that wait in it, and for no more than a bounded number of them.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from itertools import islice

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import (
    MAX_DESTINATIONS,
    MAX_REASONS,
    BatchShare,
    DestinationState,
    HoldReason,
    ReasonsQuery,
    ReasonsReply,
)
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.hold_reasons import Destination, busiest, holds, worst
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.scheduling.scheduler import Standing
from services.dispatcher.domain.waiting import (
    Wait,
    reason_of,
    start_of,
    wait_of_own_limits,
    wait_of_partition,
    waits_of_whole_batch,
)
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.rate_limits.rate_api import rate_state
from services.dispatcher.state.state import DispatcherState

_MAX_RETRIES = 10_000
"""Retries in the table that are counted."""
_MAX_EXAMINED = 4 * MAX_DESTINATIONS
"""Destinations whose limits are looked at: those with most items."""
_PARTITIONS_AT_ONCE = 500
"""Partitions that are counted before others have a turn."""


class ReasonsQueryHandler:
    """Message handler of these queries."""

    def __init__(self, state: DispatcherState, stores: Stores) -> None:
        self._state, self._stores = state, stores

    async def on_reasons_query(self, query: ReasonsQuery, _: Envelope) -> ReasonsReply:
        """Return what holds the items of a batch back."""
        batch = self._state.batches.get(query.batch_id)
        if batch is None or batch.owner != query.owner:
            return ReasonsReply(found=False)
        retries = await self._stores.retries.retries_by_partition(
            batch.batch_id, batch.round, _MAX_RETRIES, MAX_DESTINATIONS
        )
        found = await self._count(batch)
        loaded = sum(one.loaded for one in found.values())
        for partition, (count, seconds) in retries.by_partition.items():
            one = found.setdefault(partition, Destination(partition))
            one.retries, one.next_retry_s = max(0, count - one.loaded), seconds
        first_retry_s = min((one.next_retry_s for one in found.values() if one.next_retry_s is not None), default=None)
        further_retries = max(0, retries.total - loaded)
        now, at = time.monotonic(), datetime.now(UTC)
        window = self._state.workload_queue(batch.workload).window
        shown = busiest(found.values(), _MAX_EXAMINED)
        for one in shown:
            one.wait = wait_of_partition(window, one.partition, now, max(1, one.waiting))
        waiting = sum(one.waiting for one in found.values())
        waits = [] if batch.stop_status else self._waits_of_all(batch, window, now, at, max(1, waiting))
        standing = self._standing(batch)
        first_retry = None if first_retry_s is None else now + first_retry_s
        is_busy = window.is_full(batch.priority)
        held = holds(waits, shown, (further_retries, first_retry), standing, is_busy=is_busy)
        queue = self._state.batch_queue(batch)
        destinations = worst(shown, MAX_DESTINATIONS)
        return ReasonsReply(
            reasons=[
                HoldReason(**dict(reason_of(hold.wait, now, at)), items=hold.items, partition=hold.partition)
                for hold in islice(held, MAX_REASONS)
            ],
            paused=batch.paused,
            not_before=batch.starts_after(at),
            workers=self._state.workers.count(batch.workload),
            waiting=waiting,
            more_waiting=queue is not None and queue.backlog.has_more,
            in_flight=window.in_flight_by_batch[batch.batch_id],
            retries=further_retries,
            next_retry_at=_time(first_retry_s, at),
            share=None if batch.stop_status else _share(standing),
            destinations=[_destination(batch.workload, window, one, now, at) for one in destinations],
            more_destinations=len(found) - len(destinations),
        )

    async def _count(self, batch: Batch) -> dict[str, Destination]:
        """Return the destinations of the items in memory, those of a large batch in several steps."""
        window = self._state.workload_queue(batch.workload).window
        found = {
            partition: Destination(partition, in_flight=count)
            for partition, count in window.in_flight_by_partition(batch.batch_id).items()
        }
        queue = self._state.batch_queue(batch)
        waiting = list(queue.partition_queues.items()) if queue is not None else []
        for number, (partition, items) in enumerate(waiting, 1):
            one = found.setdefault(partition, Destination(partition))
            one.waiting, one.loaded = items.count, sum(retries.count for retries in items.retries)
            if number % _PARTITIONS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return found

    def _waits_of_all(self, batch: Batch, window: InFlightWindow, now: float, at: datetime, waiting: int) -> list[Wait]:
        """Return the reasons that concern all items of a batch, of which `waiting` wait, its own limits included."""
        waits = list(waits_of_whole_batch(batch, window, now, start_of(batch, now, at)))
        in_flight = window.in_flight_by_batch[batch.batch_id]
        own = wait_of_own_limits(self._state.batch_limits.get(batch.batch_id), in_flight, now, waiting)
        return [*waits, own] if own else waits

    def _standing(self, batch: Batch) -> Standing:
        queue = self._state.batch_queue(batch)
        if queue is None:
            return Standing(None, 0, 0.0, 0.0, ())
        return self._state.workload_queue(batch.workload).scheduler.standing(queue)


def _destination(workload: str, window: InFlightWindow, one: Destination, now: float, at: datetime) -> DestinationState:
    limits = window.limits.limiters_of(one.partition)
    return DestinationState(
        partition=one.partition,
        waiting=one.waiting,
        in_flight=one.in_flight,
        retries=one.retries,
        next_retry_at=_time(one.next_retry_s, at),
        parked=one.waiting > 0 and one.partition in window.parked,
        reason=reason_of(one.wait, now, at) if one.wait and one.waiting else None,
        limits=[rate_state(workload, limiter, one.waiting, None, now, at) for limiter in limits],
    )


def _share(standing: Standing) -> BatchShare:
    return BatchShare(
        place=None if standing.place is None else standing.place + 1,
        batches=standing.batches,
        share=standing.share,
        owner_share=standing.owner_share,
        preceded_by=list(standing.preceded_by),
    )


def _time(seconds: float | None, at: datetime) -> datetime | None:
    """Return the time in so many seconds."""
    return None if seconds is None else at + timedelta(seconds=seconds)
