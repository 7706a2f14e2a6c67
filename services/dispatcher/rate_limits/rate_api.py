"""Answers how fast items go to their destinations, and why; and takes what operators want of it."""

import heapq
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.v1.commands import PaceControl
from batchyard_contracts.v1.queries import MAX_PAGE, PaceQuery, PaceReply, PaceState, QueryFailed
from services.dispatcher.domain.rate_limiting.limiter import Throttle
from services.dispatcher.domain.scheduling.chunk_sizer import ChunkSize
from services.dispatcher.domain.scheduling.in_flight_window import Window
from services.dispatcher.domain.scheduling.scheduler import BatchQueue
from services.dispatcher.persistence.rate_store import PaceStore
from services.dispatcher.rate_limits.rate_events import Pacing
from services.dispatcher.state.state import Yard


class PaceView:
    """One method for each message."""

    def __init__(self, yard: Yard, store: PaceStore, pacing: Pacing) -> None:
        self._yard, self._store, self._pacing = yard, store, pacing

    async def query(self, query: PaceQuery, _: Envelope) -> Message:
        """The throttles asked for."""
        found: list[PaceState] = []
        for workload, line in self._yard.lines.items():
            if line.known and query.workload in {None, workload}:
                found += self._states(workload, line.window, query)
        shown = heapq.nlargest(MAX_PAGE, found, key=lambda s: (s.out + s.waiting, s.circuit != "closed"))
        if query.history and shown:
            keys = [(s.workload, s.limit, s.value) for s in shown]
            lines = await self._store.history(keys, query.history)
            shown = [s.model_copy(update={"history": lines.get(k, [])}) for s, k in zip(shown, keys, strict=True)]
        return PaceReply(paces=shown, more=len(found) > len(shown))

    async def control(self, command: PaceControl, _: Envelope) -> Message:
        """Do what an operator wants, and show what holds then."""
        try:
            await self._pacing.control(command)
        except KeyError:
            detail = f"No worker has announced a workload {command.workload} with a limit {command.limit}."
            return QueryFailed(code="unknown_limit", detail=detail)
        asked = PaceQuery(workload=command.workload, limit=command.limit, value=command.value)
        return await self.query(asked, _)

    def _states(self, workload: str, window: Window, query: PaceQuery) -> list[PaceState]:
        now, at = time.monotonic(), datetime.now(UTC)
        queues = [q for b in self._yard.batches.values() if b.workload == workload and (q := self._yard.queue(b))]
        waiting = _waiting(window, queues)
        sizes = _sizes(window, queues)
        return [
            _state(workload, window, throttle, waiting[throttle.key], sizes.get(throttle.key), now, at)
            for throttle in window.limits
            if query.limit in {None, throttle.limit} and query.value in {None, throttle.value}
        ]


def _state(
    workload: str,
    window: Window,
    throttle: Throttle,
    waiting: int,
    size: tuple[int, str] | None,
    now: float,
    at: datetime,
) -> PaceState:
    circuit = throttle.circuit
    parked = throttle.parked_until > now
    tries_at = at + timedelta(seconds=max(0.0, circuit.until - now)) if circuit.state != "closed" else None
    return PaceState(
        workload=workload,
        limit=throttle.limit,
        value=throttle.value,
        per_second=throttle.rate.per_second if throttle.rate else None,
        burst=throttle.rate.burst if throttle.rate else 1,
        cause=throttle.cause,
        adaptive=throttle.terms.adaptive,
        concurrency=throttle.terms.concurrency,
        by_operator=throttle.terms.by_operator,
        out=throttle.out,
        waiting=waiting,
        parked_until=at + timedelta(seconds=throttle.parked_until - now) if parked else None,
        parked_because=throttle.parked_because if parked else "",
        circuit=circuit.state,
        error=circuit.error,
        tries_at=tries_at,
        chunk=size[0] if size else None,
        chunk_because=size[1] if size else "",
    )


def _waiting(window: Window, queues: list[BatchQueue]) -> Counter[str]:
    """How many items wait in memory, by throttle."""
    counted: Counter[str] = Counter()
    for queue in queues:
        for partition, lane in queue.lanes.items():
            items = sum(s.size - s.taken for s in lane.slices) + sum(a.count for a in lane.again)
            for throttle in window.limits.of(partition):
                counted[throttle.key] += items
    return counted


def _sizes(window: Window, queues: list[BatchQueue]) -> dict[str, tuple[int, str]]:
    """The size of chunks of the batch that came last, and why it is so, by throttle."""
    found: dict[str, tuple[int, str]] = {}
    manifest = window.manifest
    for queue in queues:
        learned = window.sizes.get(queue.batch_id, {})
        for partition in {*queue.lanes, *learned}:
            items = window.size(queue.batch_id, partition)
            size = (
                items,
                learned.get(partition, ChunkSize()).reason(
                    items, manifest.chunk_target_s, manifest.chunk_max, manifest.chunk_min
                ),
            )
            for throttle in window.limits.of(partition):
                found[throttle.key] = size
    return found
