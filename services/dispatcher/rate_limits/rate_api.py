"""Answers queries for the rates of destinations, and applies the changes of operators."""

import heapq
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.v1.commands import RatesControl
from batchyard_contracts.v1.queries import (
    MAX_PAGE,
    CallResult,
    LimitsQuery,
    LimitsReply,
    QueryFailed,
    RatesQuery,
    RatesReply,
    RateState,
)
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.rate_limiting.bounds import MAX_SECONDS
from services.dispatcher.domain.rate_limiting.limiter import Limiter
from services.dispatcher.domain.scheduling.batch_queue import BatchQueue
from services.dispatcher.domain.scheduling.chunk_sizer import ChunkSizer
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.waiting import concurrency_wait, reason_of, wait_at_destination
from services.dispatcher.persistence.rate_store import RateStore
from services.dispatcher.rate_limits.rate_events import RateEvents
from services.dispatcher.state.state import DispatcherState


class RateApi:
    """Message handlers for rates."""

    def __init__(self, state: DispatcherState, store: RateStore, rate_events: RateEvents) -> None:
        self._state, self._store, self._rate_events = state, store, rate_events

    async def on_rates_query(self, query: RatesQuery, _: Envelope) -> Message:
        """Return the limiters that the query selects."""
        found: list[RateState] = []
        for workload, queue in self._state.workload_queues.items():
            if queue.is_announced and query.workload in {None, workload}:
                found += self._states(workload, queue.window, query)
        shown = heapq.nlargest(MAX_PAGE, found, key=lambda s: (s.in_flight + s.waiting, s.circuit != "closed"))
        if query.history and shown:
            keys = [(s.workload, s.limit, s.partition) for s in shown]
            history = await self._store.history(keys, query.history)
            shown = [s.model_copy(update={"history": history.get(k, [])}) for s, k in zip(shown, keys, strict=True)]
        return RatesReply(rates=shown, truncated=len(found) > len(shown))

    async def on_limits_query(self, query: LimitsQuery, _: Envelope) -> LimitsReply:
        """Return the limits of a call that belongs to no batch, and give it a place if it wants one; or take note of
        its end."""
        window, now = self._state.workload_queue(query.workload).window, time.monotonic()
        if query.ended is not None:
            self._end_call(query, query.ended, window, now)
            return LimitsReply()
        limiters = window.limits.limiters_of(query.partition)
        wait = wait_at_destination(limiters, now)
        if wait is None and query.call_id is not None:
            seconds = min(query.seconds, MAX_SECONDS)
            if not window.calls.request(query.call_id, query.partition, seconds, now):
                wait = concurrency_wait(limiters)
        return LimitsReply(
            rates=window.chunk_rates(query.partition),
            waiting=reason_of(wait, now, datetime.now(UTC)) if wait else None,
            takes_places=True if any(limiter.terms.concurrency is not None for limiter in limiters) else None,
        )

    def _end_call(self, query: LimitsQuery, ended: CallResult, window: InFlightWindow, now: float) -> None:
        """Free the place of a call, and let items keep to what its provider said."""
        if query.call_id is not None:
            window.end_call(query.call_id)
        error = ended.error
        if ended.delay_s:
            reason = (error.message or error.code) if error else ""
            window.back_off(query.partition, now + min(ended.delay_s, MAX_SECONDS), reason)
        elif (
            error is not None
            and error.scope == "provider"
            and (limiter := window.record_refusal(query.partition, error, now))
        ):
            self._rate_events.record_circuit_change(query.workload, limiter, "open")
        self._state.changed.set()

    async def on_rates_control(self, command: RatesControl, _: Envelope) -> Message:
        """Apply an operator's change and return the rates in force."""
        try:
            await self._rate_events.apply_control(command)
        except KeyError:
            detail = f"No worker has announced a workload {command.workload} with a limit {command.limit}."
            return QueryFailed(code="unknown_limit", detail=detail)
        query = RatesQuery(workload=command.workload, limit=command.limit, partition=command.partition)
        return await self.on_rates_query(query, _)

    def _states(self, workload: str, window: InFlightWindow, query: RatesQuery) -> list[RateState]:
        now, at = time.monotonic(), datetime.now(UTC)
        batches = [
            batch
            for batch in self._state.batches.values()
            if batch.workload == workload and query.owner in {None, batch.owner}
        ]
        queues = [queue for batch in batches if (queue := self._state.batch_queue(batch))]
        waiting = _waiting(window, queues)
        sizes = _chunk_sizes(window, queues)
        used = None if query.owner is None else waiting.keys() | self._keys_in_flight(window, batches)
        return [
            rate_state(workload, limiter, waiting[limiter.key], sizes.get(limiter.key), now, at)
            for limiter in window.limits
            if query.limit in {None, limiter.limit}
            and query.partition in {None, limiter.value}
            and (used is None or limiter.key in used)
        ]

    def _keys_in_flight(self, window: InFlightWindow, batches: Sequence[Batch]) -> set[str]:
        """Return the keys of the limiters under which items of these batches are in flight."""
        ids = {batch.batch_id for batch in batches}
        partitions = {lease.partition for lease in self._state.leases.values() if lease.batch_id in ids}
        return {limiter.key for partition in partitions for limiter in window.limits.limiters_of(partition)}


def rate_state(
    workload: str, limiter: Limiter, waiting: int, size: tuple[int, str] | None, now: float, at: datetime
) -> RateState:
    """Return the state of a limiter before which so many items wait, in chunks of `size`, with its reason. `now` and
    `at`: the time by the monotonic and by the wall clock."""
    circuit = limiter.circuit
    is_backing_off = limiter.backoff_until > now
    next_probe_at = at + timedelta(seconds=max(0.0, circuit.next_probe_at - now)) if circuit.state != "closed" else None
    return RateState(
        workload=workload,
        limit=limiter.limit,
        partition=limiter.value,
        per_second=limiter.rate.per_second if limiter.rate else None,
        burst=limiter.rate.burst if limiter.rate else 1,
        reason=limiter.reason,
        adaptive=limiter.terms.adaptive,
        concurrency=limiter.terms.concurrency,
        set_by_operator=limiter.terms.set_by_operator,
        in_flight=limiter.in_flight,
        waiting=waiting,
        backoff_until=at + timedelta(seconds=limiter.backoff_until - now) if is_backing_off else None,
        backoff_reason=limiter.backoff_reason if is_backing_off else "",
        circuit=circuit.state,
        error=circuit.error,
        next_probe_at=next_probe_at,
        chunk_size=size[0] if size else None,
        chunk_size_reason=size[1] if size else "",
    )


def _waiting(window: InFlightWindow, queues: list[BatchQueue]) -> Counter[str]:
    """Return the number of items that wait in memory, by limiter."""
    counts: Counter[str] = Counter()
    for queue in queues:
        for partition, partition_queue in queue.partition_queues.items():
            for limiter in window.limits.limiters_of(partition):
                counts[limiter.key] += partition_queue.count
    return counts


def _chunk_sizes(window: InFlightWindow, queues: list[BatchQueue]) -> dict[str, tuple[int, str]]:
    """Return the chunk size and its reason for the batch that was added last, by limiter."""
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
