"""Tells of the pace of destinations: to workers at once, to the tables and to whoever listens soon after; and ends the
items of a provider that has refused for too long."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog

from batchyard_contracts import topology
from batchyard_contracts.message import Message
from batchyard_contracts.v1.commands import PaceControl
from batchyard_contracts.v1.events import CircuitChanged, RateChanged
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.rate_limiting.adaptive_rate import Change
from services.dispatcher.domain.rate_limiting.gcra import kept_rate
from services.dispatcher.domain.rate_limiting.limiter import Terms, Throttle
from services.dispatcher.persistence.rate_store import Key, Line, PaceStore
from services.dispatcher.settlement.settler import Settlement
from services.dispatcher.state.state import Yard
from shared.messaging.publisher import Publisher, outgoing
from shared.redis.rate_reservations import Rate as Agreed
from shared.redis.rate_reservations import RateReservations, key_of
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
ALL = "all"
"""The owner of events that concern everybody."""
_FLUSH_S = 0.5
_STEP = 0.05
"""Smaller steps up are told together."""
_IDLE_S = 1.0
_KEPT_DAYS = 30.0
_FORGET_S = 3600.0


class Pacing:
    """Gathers what changes, and a loop that tells of it."""

    def __init__(
        self,
        yard: Yard,
        store: PaceStore,
        settlement: Settlement,
        publisher: Publisher,
        reservations: RateReservations,
        pulse: Pulse,
    ) -> None:
        self._yard, self._store, self._settlement, self._publisher = yard, store, settlement, publisher
        self._reservations, self._pulse = reservations, pulse
        self._news = asyncio.Event()
        self._rates: dict[Key, Throttle] = {}
        """Those whose rate workers are to hear of."""
        self._told: dict[Key, float | None] = {}
        """The rates that were told last."""
        self._pending: dict[Key, tuple[float | None, str, Throttle]] = {}
        self._lines: list[Line] = []
        self._dirty: dict[Key, Throttle] = {}
        self._events: list[Message] = []
        self._hopeless: list[tuple[UUID, str, ItemError]] = []
        """Partitions of batches whose items are to fail."""

    async def load(self) -> None:
        """Take up what is known from before; the manifests are known already."""
        now = time.monotonic()
        kept = await self._store.load(now)
        for (workload, limit, value), learned in kept.learned.items():
            self._yard.line(workload).window.limits.learned[limit, value] = learned
        for (workload, limit, every), terms in kept.overrides.items():
            window = self._yard.line(workload).window
            window.limits.override(limit, every, terms, window.version_at(now), now)
        for (workload, limit, value), circuit in kept.circuits.items():
            if throttle := self._yard.line(workload).window.limits.at(limit, value):
                throttle.circuit = circuit

    def changed(self, workload: str, throttle: Throttle, change: Change) -> None:
        """A rate follows its destination."""
        key = (workload, throttle.limit, throttle.value)
        self._rates[key] = throttle
        before, _, _ = self._pending.pop(key, (self._told.get(key, change.before), "", throttle))
        self._pending[key] = (before, change.cause, throttle)
        if change.after < change.before:
            self._tell(key)
        self._news.set()

    def circuit(self, workload: str, throttle: Throttle, state: Literal["open", "closed"]) -> None:
        """A circuit opened, or closed."""
        circuit, at = throttle.circuit, datetime.now(UTC)
        tries_at = at + timedelta(seconds=max(0.0, circuit.until - time.monotonic())) if state == "open" else None
        if state == "open":
            circuit.since = circuit.since or at
        code = circuit.error.code if circuit.error else None
        log.warning("circuit", state=state, workload=workload, limit=throttle.limit, value=throttle.value, code=code)
        event = CircuitChanged(
            workload=workload,
            owner=ALL,
            limit=throttle.limit,
            value=throttle.value,
            state=state,
            error=circuit.error,
            since=circuit.since,
            tries_at=tries_at,
            at=at,
        )
        self._events.append(event)
        self._dirty[workload, throttle.limit, throttle.value] = throttle
        self._news.set()

    async def control(self, command: PaceControl) -> None:
        """What an operator wants: durable first, then in force. Raises `KeyError` for a limit that there is not."""
        line = self._yard.lines.get(command.workload)
        if line is None or not line.known or command.limit not in line.window.limits.names:
            raise KeyError(command.limit)
        window, now = line.window, time.monotonic()
        if command.action == "close":
            throttle = window.limits.at(command.limit, command.value or "")
            if throttle is not None and throttle.circuit.state != "closed":
                throttle.circuit.close()
                self.circuit(command.workload, throttle, "closed")
        else:
            terms = None
            if command.action == "set":
                terms = Terms(command.rate, command.concurrency, command.adaptive, by_operator=True)
            await self._store.override(command.workload, command.limit, command.value, terms)
            before = {id(t): (t, _per_second(t)) for t in window.limits}
            window.limits.override(command.limit, command.value, terms, window.version_at(now), now)
            for throttle in window.limits:
                was = before.get(id(throttle), (throttle, None))[1]
                if _per_second(throttle) != was:
                    key = (command.workload, throttle.limit, throttle.value)
                    self._rates[key] = throttle
                    self._pending[key] = (was, throttle.cause, throttle)
                    self._tell(key)
        window.parked.clear()
        self._news.set()
        self._yard.changed.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        flushed = forgot = time.monotonic()
        try:
            while True:
                self._pulse.beat()
                await self._agree()
                now = time.monotonic()
                if now - flushed >= _FLUSH_S:
                    flushed = now
                    await retry_transient(self._flush, "paces", waiting=self._pulse.beat)
                    await retry_transient(lambda: self._give_up(time.monotonic()), "paces", waiting=self._pulse.beat)
                if now - forgot >= _FORGET_S:
                    forgot = now
                    await retry_transient(lambda: self._store.forget(_KEPT_DAYS), "paces", waiting=self._pulse.beat)
                await self._sleep()
        finally:
            self._pulse.rest()

    async def _sleep(self) -> None:
        waits = self._pending or self._lines or self._events or self._dirty
        try:
            async with asyncio.timeout(_FLUSH_S / 2 if waits else _IDLE_S):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    async def _agree(self) -> None:
        """Workers ask Redis for each start, so that is where a new rate has to be first."""
        rates, self._rates = self._rates, {}
        for (workload, _, _), throttle in rates.items():
            if throttle.rate is not None:
                name = key_of(workload, throttle.key)
                interval = 1 / kept_rate(throttle.rate)
                await self._reservations.starts([Agreed(name, interval, throttle.rate.burst, throttle.version)], 0)

    def _tell(self, key: Key) -> None:
        """Make a line and an event of what has changed since the last one."""
        before, cause, throttle = self._pending.pop(key)
        after = _per_second(throttle)
        if before == after:
            return
        at = datetime.now(UTC)
        words = f"{after / before - 1:+.0%}: {cause}" if before and after else cause
        workload, limit, value = key
        self._lines.append(Line(key, at, before, after, words))
        self._events.append(
            RateChanged(
                workload=workload, owner=ALL, limit=limit, value=value, before=before, after=after, cause=words, at=at
            )
        )
        self._told[key] = after
        self._dirty[key] = throttle

    async def _flush(self) -> None:
        for key, (before, _, throttle) in list(self._pending.items()):
            after = _per_second(throttle)
            if before is None or after is None or abs(after / before - 1) >= _STEP:
                self._tell(key)
        if not (self._dirty or self._lines or self._events):
            return
        dirty, lines, events = dict(self._dirty), list(self._lines), list(self._events)
        await self._store.save([(key[0], t) for key, t in dirty.items()], lines, time.monotonic())
        self._lines = self._lines[len(lines) :]
        self._dirty = {key: t for key, t in self._dirty.items() if key not in dirty}
        await self._publisher.publish([outgoing(topology.EVENTS, event) for event in events])
        self._events = self._events[len(events) :]

    async def _give_up(self, now: float) -> None:
        """Fail what waits for a provider that has refused for too long."""
        for workload, line in self._yard.lines.items():
            limits = line.window.limits
            if limits.rule is None:
                continue
            for throttle in [t for t in limits if t.circuit.state != "closed"]:
                error = throttle.circuit.error
                if error is None or throttle.out > 0 or not throttle.circuit.is_hopeless(limits.rule, now):
                    continue
                self._dirty[workload, throttle.limit, throttle.value] = throttle
                names = limits.partitions_of(throttle)
                mine = [b.batch_id for b in self._yard.batches.values() if b.workload == workload]
                self._hopeless += [(batch_id, partition, error) for batch_id in mine for partition in names]
        while self._hopeless:  # one that fails is tried again
            batch_id, partition, error = self._hopeless[0]
            if batch := self._yard.batches.get(batch_id):
                self._yard.drop_partition(batch, partition)
                await self._settlement.fail_partition(batch, partition, error)
            self._hopeless.pop(0)


def _per_second(throttle: Throttle) -> float | None:
    return throttle.rate.per_second if throttle.rate else None
