"""Carries out deliveries of one kind as they fall due, some at a time; no destination holds up the others."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic

import structlog
from opentelemetry.trace import SpanKind

from services.notifier.domain.attempt import Attempt, decide, overdrawn
from services.notifier.domain.backoff_schedule import Schedule
from services.notifier.domain.delivery import Kind
from services.notifier.persistence.store import Claimed, Store
from shared.observability.telemetry import span
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
POLL_S = 5.0
"""The longest rest: deliveries that another process lined up are seen by then."""
_SHORT_S = 0.1
"""The shortest: what is due just now is being claimed by another process."""
_SAID = {
    "delivered": (logging.INFO, "delivered"),
    "pending": (logging.WARNING, "delivery postponed"),
    "failed": (logging.ERROR, "delivery failed"),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Attempts at once in all and to one destination, and the seconds after which a held delivery is free again."""

    at_once: int
    per_destination: int
    lease_s: float


class Courier:
    """Claims what is due, sends it, records what came of it."""

    def __init__(
        self,
        kind: Kind,
        store: Store,
        send: Callable[[Claimed], Awaitable[Attempt]],
        schedule: Schedule,
        limits: Limits,
        pulse: Pulse,
    ) -> None:
        self._kind = kind
        self._store = store
        self._send = send
        self._schedule = schedule
        self._limits = limits
        self._pulse = pulse
        self._held: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Say that something may be due."""
        self._woken.set()

    def stop(self) -> None:
        """Ask `run` to return when the attempts in hand have ended."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Deliver until stopped."""
        while not self._stopping:
            self._pulse.beat()
            self._woken.clear()
            await self._claim()
            await self._rest()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _claim(self) -> None:
        limits = self._limits
        free = limits.at_once - len(self._tasks)
        if free <= 0:
            return
        claimed = await retry_transient(
            lambda: self._store.claim(self._kind, free, limits.lease_s, limits.per_destination, self._held),
            "PostgreSQL",
            waiting=self._pulse.beat,
        )
        for one in claimed:
            destination = one.delivery.target.destination
            self._held[destination] += 1
            task = asyncio.create_task(self._deliver(one))
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, destination))

    async def _rest(self) -> None:
        pause = POLL_S
        if len(self._tasks) < self._limits.at_once:
            full = [name for name, number in self._held.items() if number >= self._limits.per_destination]
            due = await retry_transient(
                lambda: self._store.next_due_s(self._kind, full), "PostgreSQL", waiting=self._pulse.beat
            )
            if due is not None:
                pause = min(max(due, _SHORT_S), POLL_S)
        try:
            async with asyncio.timeout(pause):
                await self._woken.wait()
        except TimeoutError:
            return

    def _ended(self, destination: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._held[destination] -= 1
        if not self._held[destination]:
            del self._held[destination]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("result not recorded; tried again when the lease ends", kind=self._kind, exc_info=error)
        self._woken.set()

    async def _deliver(self, claimed: Claimed) -> None:
        delivery = claimed.delivery
        structlog.contextvars.bind_contextvars(batch_id=str(delivery.batch_id))
        begun = monotonic()
        with span(f"deliver {self._kind}", claimed.traceparent, SpanKind.CLIENT, attempt=claimed.number) as current:
            attempt = await self._attempt(claimed)
            decision = decide(claimed.number, attempt, self._schedule, random.random())
            current.set_attribute("batchyard.delivery.state", decision.state)
            if attempt.status is not None:
                current.set_attribute("batchyard.delivery.status", attempt.status)
            await retry_transient(lambda: self._store.record(claimed, attempt, decision), "PostgreSQL")
            level, what = _SAID[decision.state]
            log.log(
                level,
                what,
                kind=self._kind,
                destination=delivery.target.destination,
                delivery_id=str(delivery.id),
                attempt=claimed.number,
                status=attempt.status,
                reason=decision.reason,
                wait_s=round(decision.wait_s, 3),
                elapsed_ms=round((monotonic() - begun) * 1000),
            )

    async def _attempt(self, claimed: Claimed) -> Attempt:
        if overdrawn(claimed.number, self._schedule):
            return Attempt("give_up", "the process died in each of the last attempts")
        try:
            return await self._send(claimed)
        except Exception as error:  # a defect in a sender: this delivery has failed once more, the others go on
            log.exception("attempt broke", kind=self._kind, delivery_id=str(claimed.delivery.id))
            return Attempt("try_again", f"defect: {type(error).__name__}")
