"""Shares rate and circuit changes: with workers at once, with the tables and event subscribers soon after.

Fails the waiting items of a provider that has refused for too long.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog

from batchyard_contracts import topology
from batchyard_contracts.message import Message
from batchyard_contracts.v1.commands import RatesControl
from batchyard_contracts.v1.events import CircuitChanged, RateChanged
from batchyard_contracts.v1.values import ALL_OWNERS, ItemError
from services.dispatcher.domain.rate_limiting.adaptive_rate import RateChange
from services.dispatcher.domain.rate_limiting.dispatch_rate import paced_rate
from services.dispatcher.domain.rate_limiting.limiter import Limiter, LimitTerms
from services.dispatcher.persistence.rate_store import HistoryRow, RateKey, RateStore
from services.dispatcher.settlement.settler import ItemSettler
from services.dispatcher.state.state import DispatcherState
from shared.messaging.publisher import Publisher, outgoing
from shared.redis.rate_reservations import KeyRate, RateReservations, rate_key
from shared.runtime.background import BackgroundTask
from shared.runtime.health import Pulse
from shared.runtime.isolation import run_isolated

log = structlog.get_logger()
_FLUSH_INTERVAL_S = 0.5
_MIN_CHANGE = 0.05
"""Smaller increases, as a share of the rate, are published together."""
_MIN_SAVED_BACKOFF_S = 5.0
"""Shorter pauses of destinations are not saved: they are over when another dispatcher has taken over."""
_MAX_ANNOUNCED = 10_000
"""Published rates that are remembered; of a forgotten one the next change begins at the rate in force."""
_MAX_REASON = 500
"""Characters of the reason of a circuit's change that are kept."""
_IDLE_S = 1.0
_RETENTION_DAYS = 30.0
_CLEANUP_INTERVAL_S = 3600.0
_Change = tuple[RateKey, Limiter] | HistoryRow
"""A limiter that is to be saved, or a row of the history."""


class RateEvents(BackgroundTask):
    """Collects changes of rates and circuits, and publishes them in a loop.

    An error ends nothing: rates and circuits in force are in the limiters. A change that can never be saved or sent is
    dropped, so that it holds up no other.
    """

    def __init__(
        self,
        state: DispatcherState,
        store: RateStore,
        settler: ItemSettler,
        publisher: Publisher,
        reservations: RateReservations,
        pulse: Pulse,
    ) -> None:
        self._state, self._store, self._settler, self._publisher = state, store, settler, publisher
        super().__init__(pulse, self._publish_changes, interval_s=_IDLE_S)
        self._reservations = reservations
        self._flushed_at = self._cleaned_up_at = time.monotonic()
        self._changed_limiters: dict[RateKey, Limiter] = {}
        """Limiters whose rate has to be shared with workers."""
        self._announced: dict[RateKey, float | None] = {}
        """The rates that were published last."""
        self._pending: dict[RateKey, tuple[float | None, str, Limiter]] = {}
        self._history: list[HistoryRow] = []
        self._dirty: dict[RateKey, Limiter] = {}
        self._events: list[Message] = []
        self._hopeless: list[tuple[UUID, str, ItemError]] = []
        """Batches and partitions whose items are to fail, with the error."""

    async def load(self) -> None:
        """Load learned rates, overrides, open circuits and pauses; the manifests must be loaded before."""
        now = time.monotonic()
        saved = await self._store.load(now)
        for (workload, limit, value), learned in saved.learned.items():
            self._state.workload_queue(workload).window.limits.learned[limit, value] = learned
        for (workload, limit, value_or_all), terms in saved.overrides.items():
            window = self._state.workload_queue(workload).window
            window.limits.override(limit, value_or_all, terms, window.version_at(now), now)
        for (workload, limit, value), circuit in saved.circuits.items():
            if limiter := self._state.workload_queue(workload).window.limits.limiter(limit, value):
                limiter.circuit = circuit
        for (workload, limit, value), (until, reason) in saved.backoffs.items():
            if limiter := self._state.workload_queue(workload).window.limits.limiter(limit, value):
                limiter.back_off(until, reason)

    def record_rate_change(self, workload: str, limiter: Limiter, change: RateChange) -> None:
        """Record that a rate has followed its destination."""
        key = (workload, limiter.limit, limiter.value)
        self._changed_limiters[key] = limiter
        before, _, _ = self._pending.pop(key, (self._announced.get(key, change.before), "", limiter))
        self._pending[key] = (before, change.reason, limiter)
        if change.after < change.before:
            self._announce(key)
        self._wake.set()

    def record_circuit_change(self, workload: str, limiter: Limiter, state: Literal["open", "closed"]) -> None:
        """Record that a circuit has opened or closed."""
        breaker, at = limiter.circuit, datetime.now(UTC)
        next_probe_at = (
            at + timedelta(seconds=max(0.0, breaker.next_probe_at - time.monotonic())) if state == "open" else None
        )
        is_again = state == "open" and breaker.opened_on is not None
        if state == "open":
            breaker.opened_on = breaker.opened_on or at
        code = breaker.error.code if breaker.error else None
        log.warning(
            "circuit changed", state=state, workload=workload, limit=limiter.limit, value=limiter.value, code=code
        )
        event = CircuitChanged(
            workload=workload,
            owner=ALL_OWNERS,
            limit=limiter.limit,
            partition=limiter.value,
            state=state,
            error=breaker.error,
            since=breaker.opened_on,
            next_probe_at=next_probe_at,
            at=at,
        )
        self._events.append(event)
        key = (workload, limiter.limit, limiter.value)
        if not is_again:  # a probe that was refused changes nothing for those who read the history
            reason = f"{breaker.error.code}: {breaker.error.message}".rstrip(": ") if breaker.error else ""
            self._history.append(HistoryRow(key, at, None, None, _kept(reason), state))
        self._dirty[key] = limiter
        self._wake.set()

    async def apply_control(self, command: RatesControl) -> None:
        """Save and apply an operator's change. Raises `KeyError` if the limit does not exist."""
        queue = self._state.workload_queues.get(command.workload)
        if queue is None or not queue.is_announced or command.limit not in queue.window.limits.names:
            raise KeyError(command.limit)
        window, now = queue.window, time.monotonic()
        if command.action == "close":
            limiter = window.limits.limiter(command.limit, command.partition or "")
            if limiter is not None and limiter.circuit.state != "closed":
                limiter.circuit.close()
                self.record_circuit_change(command.workload, limiter, "closed")
        else:
            terms = None
            if command.action == "set":
                terms = LimitTerms(command.rate, command.concurrency, command.adaptive, set_by_operator=True)
            await self._store.save_override(command.workload, command.limit, command.partition, terms)
            before = {id(t): (t, _per_second(t)) for t in window.limits}
            window.limits.override(command.limit, command.partition, terms, window.version_at(now), now)
            for limiter in window.limits:
                previous_rate = before.get(id(limiter), (limiter, None))[1]
                if _per_second(limiter) != previous_rate:
                    key = (command.workload, limiter.limit, limiter.value)
                    self._changed_limiters[key] = limiter
                    self._pending[key] = (previous_rate, limiter.reason, limiter)
                    self._announce(key)
        window.parked.clear()
        self._wake.set()
        self._state.changed.set()

    async def _publish_changes(self) -> float | None:
        """Share changed rates with the workers, and save and publish all changes if that is due."""
        await self._share_rates()
        now = time.monotonic()
        if now - self._flushed_at >= _FLUSH_INTERVAL_S:
            self._add_backoffs(now)
            await self._flush()
            await self._fail_hopeless(now)
            self._flushed_at = now
        if now - self._cleaned_up_at >= _CLEANUP_INTERVAL_S:
            await self._store.delete_unused(_RETENTION_DAYS)
            self._cleaned_up_at = now
        is_waiting = self._pending or self._history or self._events or self._dirty
        return _FLUSH_INTERVAL_S / 2 if is_waiting else None

    def _add_backoffs(self, now: float) -> None:
        """Have the pauses saved that destinations asked for."""
        for workload, queue in self._state.workload_queues.items():
            for limiter in queue.window.limits.take_longer_backoffs():
                if limiter.backoff_until - now >= _MIN_SAVED_BACKOFF_S:
                    self._dirty[workload, limiter.limit, limiter.value] = limiter

    async def _share_rates(self) -> None:
        """Write changed rates to Redis, where workers reserve each start."""
        while self._changed_limiters:
            (workload, _, _), limiter = self._changed_limiters.popitem()
            if limiter.rate is not None:
                name = rate_key(workload, limiter.key)
                interval = 1 / paced_rate(limiter.rate)
                await self._reservations.reserve([KeyRate(name, interval, limiter.rate.burst, limiter.version)], 0)

    def _announce(self, key: RateKey) -> None:
        """Add the change since the last published rate to the history and the events."""
        before, change_reason, limiter = self._pending.pop(key)
        after = _per_second(limiter)
        if before == after:
            return
        at = datetime.now(UTC)
        reason = f"{after / before - 1:+.0%}: {change_reason}" if before and after else change_reason
        workload, limit, value = key
        self._history.append(HistoryRow(key, at, before, after, reason))
        self._events.append(
            RateChanged(
                workload=workload,
                owner=ALL_OWNERS,
                limit=limit,
                partition=value,
                before=before,
                after=after,
                reason=reason,
                at=at,
            )
        )
        self._announced.pop(key, None)
        self._announced[key] = after
        if len(self._announced) > _MAX_ANNOUNCED:
            del self._announced[next(iter(self._announced))]
        self._dirty[key] = limiter

    async def _flush(self) -> None:
        for key, (before, _, limiter) in list(self._pending.items()):
            after = _per_second(limiter)
            if before is None or after is None or abs(after / before - 1) >= _MIN_CHANGE:
                self._announce(key)
        if not (self._dirty or self._history or self._events):
            return
        dirty, history, events = self._dirty, self._history, self._events
        self._dirty, self._history, self._events = {}, [], []
        try:
            changes: list[_Change] = [*dirty.items(), *history]
            for _, error in await run_isolated(changes, self._save):
                _log_dropped("rate", error)
            dirty, history = {}, []
            for event, error in await run_isolated(events, self._publish):
                _log_dropped(event.type, error)
        except Exception:  # a transient one: all of it may be repeated
            self._dirty = dirty | self._dirty
            self._history, self._events = history + self._history, events + self._events
            raise

    async def _save(self, changes: Sequence[_Change]) -> None:
        """Save changed limiters and rows of the history together."""
        history = [change for change in changes if isinstance(change, HistoryRow)]
        limiters = [(change[0][0], change[1]) for change in changes if not isinstance(change, HistoryRow)]
        await self._store.save(limiters, history, time.monotonic())

    async def _publish(self, events: Sequence[Message]) -> None:
        await self._publisher.publish([outgoing(topology.EVENTS, event) for event in events])

    async def _fail_hopeless(self, now: float) -> None:
        """Fail the items that wait for a provider that has refused for too long."""
        for workload, queue in self._state.workload_queues.items():
            for limiter, error in queue.window.limits.take_hopeless(now):
                self._dirty[workload, limiter.limit, limiter.value] = limiter
                partitions = queue.window.limits.partitions_of(limiter)
                batch_ids = [b.batch_id for b in self._state.batches.values() if b.workload == workload]
                self._hopeless += [(batch_id, partition, error) for batch_id in batch_ids for partition in partitions]
        while self._hopeless:
            batch_id, partition, error = self._hopeless.pop(0)
            if batch := self._state.batches.get(batch_id):
                self._state.drop_partition(batch, partition)
                try:
                    await self._settler.fail_partition(batch, partition, error)
                except Exception:
                    self._hopeless.append((batch_id, partition, error))  # behind the others
                    raise


def _log_dropped(what: str, error: Exception) -> None:
    log.error("change of a rate dropped", what=what, error=f"{type(error).__name__}: {error}"[:300])


def _kept(reason: str) -> str:
    """Return a reason as it is kept: PostgreSQL refuses NUL."""
    return reason[:_MAX_REASON].replace("\0", "")


def _per_second(limiter: Limiter) -> float | None:
    return limiter.rate.per_second if limiter.rate else None
