"""Sends deliveries of one kind when they are due, several at a time; a slow destination does not delay the others."""

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

from services.notifier.domain.attempt import Attempt, decide, has_exhausted_attempts
from services.notifier.domain.backoff_schedule import BackoffSchedule
from services.notifier.domain.delivery import Kind
from services.notifier.persistence.store import ClaimedDelivery, DeliveryStore
from shared.observability.telemetry import span
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
POLL_S = 5.0
"""Longest wait between two polls; deliveries that another process created are found within this time."""
_MIN_WAIT_S = 0.1
"""Shortest wait between two polls; what is due right now is being claimed by another process."""
_LOG_EVENTS = {
    "delivered": (logging.INFO, "delivered"),
    "pending": (logging.WARNING, "delivery postponed"),
    "failed": (logging.ERROR, "delivery failed"),
}


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """Limits of a delivery worker: concurrent attempts in all and per destination, and the lease in seconds."""

    concurrency: int
    concurrency_per_destination: int
    lease_s: float


class DeliveryWorker:
    """Worker that claims due deliveries, sends them and records the result of each attempt."""

    def __init__(
        self,
        kind: Kind,
        store: DeliveryStore,
        send: Callable[[ClaimedDelivery], Awaitable[Attempt]],
        schedule: BackoffSchedule,
        limits: DeliveryLimits,
    ) -> None:
        self._kind = kind
        self._store = store
        self._send = send
        self._schedule = schedule
        self._limits = limits
        self._held: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self.wake = asyncio.Event()
        """Set when a delivery may be due."""

    async def deliver_due(self) -> float:
        """Start an attempt for each due delivery, as far as the limits allow; return the seconds until more are due."""
        await self._claim_due()
        if len(self._tasks) >= self._limits.concurrency:
            return POLL_S
        full = [name for name, number in self._held.items() if number >= self._limits.concurrency_per_destination]
        due_s = await self._store.next_due_s(self._kind, full)
        return POLL_S if due_s is None else min(max(due_s, _MIN_WAIT_S), POLL_S)

    async def finish(self) -> None:
        """Wait until the attempts in progress have ended."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _claim_due(self) -> None:
        limits = self._limits
        free = limits.concurrency - len(self._tasks)
        if free <= 0:
            return
        claimed = await self._store.claim(
            self._kind, free, limits.lease_s, limits.concurrency_per_destination, self._held
        )
        for one in claimed:
            destination = one.delivery.target.destination
            self._held[destination] += 1
            task = asyncio.create_task(self._deliver(one))
            self._tasks.add(task)
            task.add_done_callback(partial(self._on_task_done, destination))

    def _on_task_done(self, destination: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._held[destination] -= 1
        if not self._held[destination]:
            del self._held[destination]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("outcome not recorded; retried when the lease ends", kind=self._kind, exc_info=error)
        self.wake.set()

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        delivery = claimed.delivery
        structlog.contextvars.bind_contextvars(batch_id=str(delivery.batch_id))
        started_at = monotonic()
        with span(
            f"deliver {self._kind}", claimed.traceparent, SpanKind.CLIENT, attempt=claimed.attempt_number
        ) as current:
            attempt = await self._attempt(claimed)
            decision = decide(claimed.attempt_number, attempt, self._schedule, random.random())
            current.set_attribute("batchyard.delivery.state", decision.state)
            if attempt.status is not None:
                current.set_attribute("batchyard.delivery.status", attempt.status)
            await retry_transient(lambda: self._store.record_attempt(claimed, attempt, decision), "PostgreSQL")
            level, event = _LOG_EVENTS[decision.state]
            log.log(
                level,
                event,
                kind=self._kind,
                destination=delivery.target.destination,
                delivery_id=str(delivery.id),
                attempt=claimed.attempt_number,
                status=attempt.status,
                reason=decision.reason,
                delay_s=round(decision.delay_s, 3),
                elapsed_ms=round((monotonic() - started_at) * 1000),
            )

    async def _attempt(self, claimed: ClaimedDelivery) -> Attempt:
        if has_exhausted_attempts(claimed.attempt_number, self._schedule):
            return Attempt("give_up", "the process died during each of the last attempts")
        try:
            return await self._send(claimed)
        except Exception:  # a defect in a sender costs this delivery one attempt; the others go on
            log.exception("attempt raised an exception", kind=self._kind, delivery_id=str(claimed.delivery.id))
            return Attempt("retry", "a defect of the notifier, which its log describes")
