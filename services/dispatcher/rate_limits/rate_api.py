"""Answers how fast items go to their destinations, and why; and takes what operators want of it."""

import heapq
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.v1.commands import PaceControl
from batchyard_contracts.v1.queries import MAX_PAGE, PaceQuery, PaceReply, PaceState, QueryFailed
from services.dispatcher.domain.rate_limiting.limiter import Limiter
from services.dispatcher.domain.scheduling.chunk_sizer import ChunkSizer
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.scheduling.scheduler import BatchQueue
from services.dispatcher.persistence.rate_store import RateStore
from services.dispatcher.rate_limits.rate_events import RateEvents
from services.dispatcher.state.state import DispatcherState


class RateApi:
    """One method for each message."""

    def __init__(self, state: DispatcherState, store: RateStore, rate_events: RateEvents) -> None:
        self._state, self._store, self._rate_events = state, store, rate_events

    async def on_rates_query(self, query: PaceQuery, _: Envelope) -> Message:
        """The limiters asked for."""
        found: list[PaceState] = []
        for workload, line in self._state.workload_queues.items():
            if line.is_announced and query.workload in {None, workload}:
                found += self._states(workload, line.window, query)
        shown = heapq.nlargest(MAX_PAGE, found, key=lambda s: (s.out + s.waiting, s.circuit != "closed"))
        if query.history and shown:
            keys = [(s.workload, s.limit, s.value) for s in shown]
            lines = await self._store.history(keys, query.history)
            shown = [s.model_copy(update={"history": lines.get(k, [])}) for s, k in zip(shown, keys, strict=True)]
        return PaceReply(paces=shown, more=len(found) > len(shown))

    async def on_rates_control(self, command: PaceControl, _: Envelope) -> Message:
        """Do what an operator wants, and show what holds then."""
        try:
            await self._rate_events.apply_control(command)
        except KeyError:
            detail = f"No worker has announced a workload {command.workload} with a limit {command.limit}."
            return QueryFailed(code="unknown_limit", detail=detail)
        query = PaceQuery(workload=command.workload, limit=command.limit, value=command.value)
        return await self.on_rates_query(query, _)

    def _states(self, workload: str, window: InFlightWindow, query: PaceQuery) -> list[PaceState]:
        now, at = time.monotonic(), datetime.now(UTC)
        queues = [
            q for b in self._state.batches.values() if b.workload == workload and (q := self._state.batch_queue(b))
        ]
        waiting = _waiting(window, queues)
        sizes = _chunk_sizes(window, queues)
        return [
            _state(workload, window, limiter, waiting[limiter.key], sizes.get(limiter.key), now, at)
            for limiter in window.limits
            if query.limit in {None, limiter.limit} and query.value in {None, limiter.value}
        ]


def _state(
    workload: str,
    window: InFlightWindow,
    limiter: Limiter,
    waiting: int,
    size: tuple[int, str] | None,
    now: float,
    at: datetime,
) -> PaceState:
    circuit = limiter.circuit
    parked = limiter.backoff_until > now
    tries_at = at + timedelta(seconds=max(0.0, circuit.next_probe_at - now)) if circuit.state != "closed" else None
    return PaceState(
        workload=workload,
        limit=limiter.limit,
        value=limiter.value,
        per_second=limiter.rate.per_second if limiter.rate else None,
        burst=limiter.rate.burst if limiter.rate else 1,
        cause=limiter.reason,
        adaptive=limiter.terms.adaptive,
        concurrency=limiter.terms.concurrency,
        by_operator=limiter.terms.by_operator,
        out=limiter.in_flight,
        waiting=waiting,
        parked_until=at + timedelta(seconds=limiter.backoff_until - now) if parked else None,
        parked_because=limiter.backoff_reason if parked else "",
        circuit=circuit.state,
        error=circuit.error,
        tries_at=tries_at,
        chunk=size[0] if size else None,
        chunk_because=size[1] if size else "",
    )


def _waiting(window: InFlightWindow, queues: list[BatchQueue]) -> Counter[str]:
    """How many items wait in memory, by limiter."""
    counted: Counter[str] = Counter()
    for queue in queues:
        for partition, partition_queue in queue.partition_queues.items():
            items = sum(s.size - s.taken for s in partition_queue.slices) + sum(
                a.count for a in partition_queue.retries
            )
            for limiter in window.limits.limiters_of(partition):
                counted[limiter.key] += items
    return counted


def _chunk_sizes(window: InFlightWindow, queues: list[BatchQueue]) -> dict[str, tuple[int, str]]:
    """The size of chunks of the batch that came last, and why it is so, by limiter."""
    found: dict[str, tuple[int, str]] = {}
    manifest = window.manifest
    for queue in queues:
        learned = window.sizes.get(queue.batch_id, {})
        for partition in {*queue.partition_queues, *learned}:
            items = window.chunk_size(queue.batch_id, partition)
            size = (
                items,
                learned.get(partition, ChunkSizer()).reason(
                    items, manifest.chunk_target_s, manifest.chunk_max, manifest.chunk_min
                ),
            )
            for limiter in window.limits.limiters_of(partition):
                found[limiter.key] = size
    return found
