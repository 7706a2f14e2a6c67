"""Answers queries for what the dispatcher has in hand: batches, items at workers, workers, and circuits.

The answers come from one walk through the memory, in steps, whose numbers serve all who ask within a second.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import MAX_ATTENTION, LoadQuery, LoadReply, WorkloadLoad
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.rate_limiting.limiter import Limiter
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.waiting import reason_of, wait_of_workload
from services.dispatcher.rate_limits.rate_api import rate_state
from services.dispatcher.state.state import DispatcherState

_AT_ONCE = 500
"""Batches, or limits, that are looked at before others have a turn."""
_KEPT_S = 1.0
"""Seconds for which the numbers of one walk serve."""
_MAX_WORKLOADS = 1000
_Circuit = tuple[str, str]
"""Workload, and key of a limiter whose circuit is not closed."""


@dataclass(slots=True)
class _Load:
    """Numbers of the unfinished batches of one owner."""

    batches: Counter[str] = field(default_factory=Counter)
    """Batches by workload."""
    in_flight: Counter[str] = field(default_factory=Counter)
    """Items at workers by workload."""
    held: Counter[_Circuit] = field(default_factory=Counter)
    """Items that wait before an open circuit, or probe it."""
    paused: int = 0

    def add(self, other: "_Load") -> None:
        """Add the numbers of another owner."""
        self.batches.update(other.batches)
        self.in_flight.update(other.in_flight)
        self.held.update(other.held)
        self.paused += other.paused


class LoadQueryHandler:
    """Message handler of these queries."""

    def __init__(self, state: DispatcherState) -> None:
        self._state = state
        self._loads: Mapping[str, _Load] = {}
        self._circuits: Mapping[_Circuit, Limiter] = {}
        self._walked_at = float("-inf")
        self._walking = asyncio.Lock()

    async def on_load_query(self, query: LoadQuery, _: Envelope) -> LoadReply:
        """Return the load, of an owner's batches or of all."""
        async with self._walking:
            if time.monotonic() - self._walked_at >= _KEPT_S:
                await self._walk()
                self._walked_at = time.monotonic()
        load = _Load()
        for owner, one in self._loads.items():
            if query.owner in {None, owner}:
                load.add(one)
        now, at = time.monotonic(), datetime.now(UTC)
        return LoadReply(
            workers=sum(1 for _ in self._state.workers),
            batches=load.batches.total(),
            paused=load.paused,
            in_flight=load.in_flight.total(),
            workloads=[
                self._workload(name, number, load.in_flight[name])
                for name, number in islice(sorted(load.batches.items()), _MAX_WORKLOADS)
            ],
            circuits=[
                rate_state(key[0], self._circuits[key], items, None, now, at)
                for key, items in load.held.most_common(MAX_ATTENTION)
            ],
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

    async def _walk(self) -> None:
        """Count everything by owner."""
        circuits: dict[_Circuit, Limiter] = {}
        behind: dict[str, dict[str, list[_Circuit]]] = {}
        for workload, queue in list(self._state.workload_queues.items()):
            behind[workload] = await _behind_circuits(workload, queue.window, circuits)
        loads: defaultdict[str, _Load] = defaultdict(_Load)
        for number, batch in enumerate(list(self._state.batches.values()), 1):
            self._count(batch, loads[batch.owner], behind.get(batch.workload) or {})
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._loads, self._circuits = loads, circuits

    def _count(self, batch: Batch, load: _Load, behind: Mapping[str, list[_Circuit]]) -> None:
        window = self._state.workload_queue(batch.workload).window
        load.batches[batch.workload] += 1
        load.paused += batch.paused
        if in_flight := window.in_flight_by_batch.get(batch.batch_id, 0):
            load.in_flight[batch.workload] += in_flight
        queue = self._state.batch_queue(batch)
        if behind and queue is not None:
            for partition in queue.partition_queues.keys() & behind.keys():
                for circuit in behind[partition]:
                    load.held[circuit] += queue.partition_queues[partition].count


async def _behind_circuits(
    workload: str, window: InFlightWindow, circuits: dict[_Circuit, Limiter]
) -> dict[str, list[_Circuit]]:
    """Add the limiters whose circuit is not closed; return the partitions that go through them."""
    found: dict[str, list[_Circuit]] = {}
    for number, limiter in enumerate(list(window.limits), 1):
        if limiter.circuit.state != "closed":
            key = (workload, limiter.key)
            circuits[key] = limiter
            for partition in window.limits.partitions_of(limiter):
                found.setdefault(partition, []).append(key)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return found
