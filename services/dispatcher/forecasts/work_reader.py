"""Reads the work that is left, from memory, and from the tables what does not fit into it; in steps, so that messages
are handled meanwhile."""

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from batchyard_contracts.v1.values import PRIORITIES, Priority, Terms
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.forecasting.load import BatchLoad
from services.dispatcher.domain.forecasting.load_builder import BatchWork, DestinationWork
from services.dispatcher.forecasts.slices import run_in_slices
from services.dispatcher.persistence.retry_store import RetriesAhead
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.state.state import DispatcherState

_AT_ONCE = 200
"""Partitions, retries, or leases, that are looked at before others have a turn."""
_MAX_READ = 20
"""Batches of which the table is read in one go: only those with more than fits into memory."""
_MAX_SEGMENTS = 20_000
"""Page segments that are read of one of them."""
_MAX_RETRIES = 10_000
_Work = dict[str, DestinationWork]
_InTable = tuple[list[tuple[str, int]], bool]
"""Items by partition; False: not all of them."""


@dataclass(slots=True)
class WorkLeft:
    """The work that is left of the batches that may run, by batch, in the order in which they joined."""

    batches: dict[UUID, tuple[Batch, BatchWork]] = field(default_factory=dict)
    incomplete: set[UUID] = field(default_factory=set)
    """Batches of which not everything was read."""
    asked_s: float = 0.0
    """Seconds for which the database was asked."""

    def of_workload(self, workload: str) -> dict[UUID, BatchWork]:
        """Return the batches of a workload, the highest priority first."""
        found = {x: work for x, (batch, work) in self.batches.items() if batch.workload == workload}
        return dict(sorted(found.items(), key=lambda one: one[1].load.rank))


class WorkReader:
    """Reader of the work that is left."""

    def __init__(self, state: DispatcherState, stores: Stores, clock: Callable[[], float] = time.monotonic) -> None:
        self._state, self._stores, self._clock = state, stores, clock

    async def read(self, at: datetime) -> tuple[WorkLeft, float]:
        """Return the work that is left at the time `at`, and the seconds of processor time that it took to read it."""
        if not self._state.batches:
            return WorkLeft(), 0.0
        began = self._clock()
        retries = await self._stores.retries.retries_ahead(list(self._state.batches), _MAX_RETRIES)
        in_table: dict[UUID, _InTable] = {}
        for queue in list(self._state.workload_queues.values()):
            for batch_queue in queue.scheduler.with_backlog():
                rows: _InTable = ([], False)
                if len(in_table) < _MAX_READ:
                    rows = await self._stores.pages.waiting_by_partition(batch_queue.batch_id, _MAX_SEGMENTS)
                in_table[batch_queue.batch_id] = rows
        asked_s = self._clock() - began
        left, cost_s = await run_in_slices(self._collect(retries, in_table, at))
        left.asked_s = asked_s
        return left, cost_s

    def load_of(self, owner: str, priority: Priority, terms: Terms) -> BatchLoad:
        """Return a batch as it shares the workers with others."""
        weight = self._state.owner_weights.weight(owner)
        return BatchLoad(owner, PRIORITIES.index(priority), terms.weight or 1, weight)

    def _collect(
        self, retries: Sequence[RetriesAhead], in_table: Mapping[UUID, _InTable], at: datetime
    ) -> Generator[None, None, WorkLeft]:
        found = defaultdict[UUID, _Work](dict)
        yield from self._add_in_flight(found)
        yield from self._add_retries(found, retries)
        left = WorkLeft()
        for batch in list(self._state.batches.values()):
            queue = self._state.batch_queue(batch)
            if queue is None or batch.paused or batch.stop_status:
                continue
            own, stored = found[batch.batch_id], in_table.get(batch.batch_id)
            if stored is not None:  # the table has what is in memory, too, but for items that run again
                rows, is_all = stored
                for number, (partition, items) in enumerate(rows, 1):
                    _of(own, partition).waiting += items
                    if number % _AT_ONCE == 0:
                        yield
                if not is_all:
                    left.incomplete.add(batch.batch_id)
            for number, (partition, waiting) in enumerate(list(queue.partition_queues.items()), 1):
                again = sum(one.count for one in waiting.retries)
                _of(own, partition).waiting += waiting.count if stored is None else again
                if number % _AT_ONCE == 0:
                    yield
            left.batches[batch.batch_id] = batch, self._batch_work(batch, list(own.values()), at)
            yield
        return left

    def _batch_work(self, batch: Batch, destinations: Sequence[DestinationWork], at: datetime) -> BatchWork:
        starts_at = batch.starts_after(at)
        return BatchWork(
            self.load_of(batch.owner, batch.priority, batch.terms),
            [one for one in destinations if one.left > 0],
            self._state.batch_limits.get(batch.batch_id),
            (starts_at - at).total_seconds() if starts_at else 0.0,
        )

    def _add_in_flight(self, found: Mapping[UUID, _Work]) -> Generator[None, None, None]:
        for number, lease in enumerate(list(self._state.leases.values()), 1):
            _of(found[lease.batch_id], lease.partition).in_flight += lease.source.count - len(lease.reported)
            if number % _AT_ONCE == 0:
                yield

    def _add_retries(self, found: Mapping[UUID, _Work], retries: Sequence[RetriesAhead]) -> Generator[None, None, None]:
        """Add the retries that are not in memory. Most are due later; those in memory are subtracted."""
        for number, row in enumerate(retries, 1):
            loaded = self._state.loaded_by_partition.get((row.batch_id, row.partition), 0)
            if row.items > loaded:
                one = _of(found[row.batch_id], row.partition)
                one.later, one.later_s, one.last_s = row.items - loaded, max(0.0, row.mean_s), max(0.0, row.last_s)
            if number % _AT_ONCE == 0:
                yield


def _of(found: _Work, partition: str) -> DestinationWork:
    one = found.get(partition)
    if one is None:
        one = found[partition] = DestinationWork(partition)
    return one


def together(works: Sequence[BatchWork]) -> Generator[None, None, BatchWork]:
    """Return batches that are not simulated one by one as one batch."""
    found: _Work = {}
    for work in works:
        yield
        for one in work.destinations:
            to = _of(found, one.partition)
            to.waiting, to.in_flight = to.waiting + one.waiting, to.in_flight + one.in_flight
            if one.later:
                to.later_s = (to.later * to.later_s + one.later * one.later_s) / (to.later + one.later)
                to.later, to.last_s = to.later + one.later, max(to.last_s, one.last_s)
    weight = float(len(works))
    return BatchWork(BatchLoad("", min(work.load.rank for work in works), weight, weight), list(found.values()))
