"""What the notifier does with each message: keep whom to tell, and once a round has ended, line up the deliveries."""

from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.events import BatchFinished, CircuitChanged
from batchyard_contracts.v1.flow import BatchAccepted
from services.notifier.domain.backoff_schedule import Schedule
from services.notifier.domain.delivery import alert_id, deliveries, targets_of
from services.notifier.domain.one_line import one_line
from services.notifier.persistence.store import BatchRecord, Known, Store
from shared.observability.telemetry import traceparent

log = structlog.get_logger()


class Handlers:
    """The two messages of a batch may come in either order, and all may come again."""

    def __init__(
        self, store: Store, schedule: Schedule, wake: Callable[[], None], operator_mails: Sequence[str] = ()
    ) -> None:
        self._store = store
        self._operators = targets_of((), operator_mails)
        self._schedule = schedule
        self._wake = wake

    async def accepted(self, message: BatchAccepted, _: Envelope) -> None:
        """Keep whom to tell; nothing when there is nobody."""
        targets = targets_of(message.notify.webhooks, message.notify.emails)
        if not targets:
            await self._store.forget_untold(message.batch_id)
            return
        async with self._store.batch(message.batch_id) as batch:
            await batch.keep(Known(one_line(message.name) if message.name else None, targets, traceparent()))
            await self._tell(batch, message.batch_id)
        self._wake()

    async def finished(self, message: BatchFinished, _: Envelope) -> None:
        """Keep the event, and line up one delivery for each target as soon as these are known."""
        event = message.encode().decode()
        if await self._store.end_round(message.batch_id, message.round, event, traceparent()):
            async with self._store.batch(message.batch_id) as batch:
                await self._tell(batch, message.batch_id)
            self._wake()

    async def circuit(self, message: CircuitChanged, _: Envelope) -> None:
        """Tell operators of a provider that refuses, once for each time that it began to."""
        if message.state != "open" or not self._operators:
            return
        alert, event = alert_id(message), message.encode().decode()
        async with self._store.batch(alert) as batch:
            await batch.keep(Known(None, self._operators, traceparent()))
        await self._store.end_round(alert, 1, event, traceparent(), CircuitChanged.type)
        async with self._store.batch(alert) as batch:
            await self._tell(batch, alert)
        self._wake()

    async def _tell(self, batch: BatchRecord, batch_id: UUID) -> None:
        known = await batch.known()
        if known is None:
            return
        for round_ in await batch.untold():
            new = list(deliveries(batch_id, round_, known.targets))
            await batch.tell(round_, new, known.traceparent or traceparent(), self._schedule.first_wait())
            log.info("deliveries lined up", batch_id=str(batch_id), round=round_, count=len(new))
