"""Answers queries for what the dispatcher has in hand: batches, items at workers, workers, and circuits."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import MAX_ATTENTION, LoadQuery, LoadReply, RateState, WorkloadLoad
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.rate_limiting.limiter import Limiter
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.waiting import reason_of, wait_of_workload
from services.dispatcher.rate_limits.rate_api import rate_state
from services.dispatcher.state.state import DispatcherState

_AT_ONCE = 500
"""Batches, or limits, that are looked at before others have a turn."""
_MAX_WORKLOADS = 1000


class LoadQueryHandler:
    """Message handler of these queries, which reads the memory alone."""

    def __init__(self, state: DispatcherState) -> None:
        self._state = state

    async def on_load_query(self, query: LoadQuery, _: Envelope) -> LoadReply:
        """Return the load, of an owner's batches or of all."""
        by_workload: defaultdict[str, list[Batch]] = defaultdict(list)
        in_flight: Counter[str] = Counter()
        paused = 0
        for number, batch in enumerate(list(self._state.batches.values()), 1):
            if query.owner in {None, batch.owner}:
                by_workload[batch.workload].append(batch)
                paused += batch.paused
                window = self._state.workload_queue(batch.workload).window
                in_flight[batch.workload] += window.in_flight_by_batch[batch.batch_id]
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        circuits: list[RateState] = []
        for workload, batches in by_workload.items():
            circuits += await self._circuits(workload, batches, MAX_ATTENTION - len(circuits))
        return LoadReply(
            workers=sum(1 for _ in self._state.workers),
            batches=sum(map(len, by_workload.values())),
            paused=paused,
            in_flight=in_flight.total(),
            workloads=[
                self._workload(name, len(batches), in_flight[name])
                for name, batches in islice(sorted(by_workload.items()), _MAX_WORKLOADS)
            ],
            circuits=circuits,
        )

    def _workload(self, name: str, batches: int, in_flight: int) -> WorkloadLoad:
        wait = wait_of_workload(self._state.workload_queue(name).window)
        return WorkloadLoad(
            workload=name,
            workers=self._state.workers.count(name),
            waiting=reason_of(wait, time.monotonic(), datetime.now(UTC)) if wait else None,
            batches=batches,
            in_flight=in_flight,
        )

    async def _circuits(self, workload: str, batches: Sequence[Batch], limit: int) -> list[RateState]:
        """Return the limiters whose circuit is not closed, and that items of the batches go through."""
        window = self._state.workload_queue(workload).window
        now, at = time.monotonic(), datetime.now(UTC)
        found: list[RateState] = []
        for number, limiter in enumerate(list(window.limits), 1):
            if len(found) >= limit:
                break
            if limiter.circuit.state != "closed" and (waiting := await self._waiting(window, limiter, batches)):
                found.append(rate_state(workload, limiter, waiting, None, now, at))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return found

    async def _waiting(self, window: InFlightWindow, limiter: Limiter, batches: Sequence[Batch]) -> int:
        """Return the number of items of the batches in memory that wait before a limiter, or are at a worker."""
        partitions = window.limits.partitions_of(limiter)
        total = window.in_flight_among({batch.batch_id for batch in batches}, partitions)
        for number, batch in enumerate(batches, 1):
            queue = self._state.batch_queue(batch)
            if queue is not None:
                total += sum(items.count for name, items in queue.partition_queues.items() if name in partitions)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return total
