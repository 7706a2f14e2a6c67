"""Handles incoming messages: saves the notification targets of a batch, and creates deliveries when a round ends."""

from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.events import BatchFinished, BatchStuck, CircuitChanged
from batchyard_contracts.v1.flow import BatchAccepted
from services.notifier.domain.backoff_schedule import BackoffSchedule
from services.notifier.domain.delivery import alert_id, deliveries_for, stuck_alert_id, targets_of
from services.notifier.domain.one_line import one_line
from services.notifier.persistence.store import BatchTransaction, DeliveryStore, Subscription
from shared.observability.telemetry import traceparent

log = structlog.get_logger()


class EventHandlers:
    """Handlers of the notifier's messages; a batch's two messages may arrive in either order and more than once."""

    def __init__(
        self,
        store: DeliveryStore,
        schedule: BackoffSchedule,
        wake: Callable[[], None],
        operator_emails: Sequence[str] = (),
    ) -> None:
        self._store = store
        self._operator_targets = targets_of((), operator_emails)
        self._schedule = schedule
        self._wake = wake

    async def on_batch_accepted(self, message: BatchAccepted, _: Envelope) -> None:
        """Save the notification targets of a batch; without targets, delete what was saved of its rounds."""
        targets = targets_of(message.notify.webhooks, message.notify.emails)
        if not targets:
            await self._store.delete_pending_rounds(message.batch_id)
            return
        async with self._store.batch(message.batch_id) as batch:
            await batch.save_subscription(
                Subscription(one_line(message.name) if message.name else None, targets, traceparent())
            )
            await self._create_deliveries(batch, message.batch_id)
        self._wake()

    async def on_batch_finished(self, message: BatchFinished, _: Envelope) -> None:
        """Save the event, and create one delivery per target as soon as the targets are known."""
        event = message.encode().decode()
        if await self._store.save_finished_round(message.batch_id, message.round, event, traceparent()):
            async with self._store.batch(message.batch_id) as batch:
                await self._create_deliveries(batch, message.batch_id)
            self._wake()

    async def on_circuit_changed(self, message: CircuitChanged, _: Envelope) -> None:
        """Alert operators of a provider that refuses every call, once each time its circuit opens."""
        if message.state == "open":
            await self._alert(alert_id(message), message)

    async def on_batch_stuck(self, message: BatchStuck, _: Envelope) -> None:
        """Alert operators of a batch that cannot end."""
        await self._alert(stuck_alert_id(message), message)

    async def _alert(self, alert: UUID, message: CircuitChanged | BatchStuck) -> None:
        """Create one delivery of an event to each operator, under an id that takes the place of a batch's id."""
        if not self._operator_targets:
            return
        async with self._store.batch(alert) as batch:
            await batch.save_subscription(Subscription(None, self._operator_targets, traceparent()))
        await self._store.save_finished_round(alert, 1, message.encode().decode(), traceparent(), message.type)
        async with self._store.batch(alert) as batch:
            await self._create_deliveries(batch, alert)
        self._wake()

    async def _create_deliveries(self, batch: BatchTransaction, batch_id: UUID) -> None:
        subscription = await batch.subscription()
        if subscription is None:
            return
        for round_ in await batch.pending_rounds():
            deliveries = list(deliveries_for(batch_id, round_, subscription.targets))
            await batch.add_deliveries(
                round_, deliveries, subscription.traceparent or traceparent(), self._schedule.first_delay()
            )
            log.info("deliveries created", batch_id=str(batch_id), round=round_, count=len(deliveries))
