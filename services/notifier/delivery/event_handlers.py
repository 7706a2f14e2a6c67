"""Handles incoming messages: creates deliveries when a round ends, and when operators have to be told of something."""

from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.events import BatchFinished, BatchStuck, CircuitChanged, KeyExpiring
from batchyard_contracts.v1.flow import NotificationRequested
from services.notifier.domain.backoff_schedule import BackoffSchedule
from services.notifier.domain.delivery import (
    Target,
    alert_id,
    deliveries_for,
    expiry_alert_id,
    stuck_alert_id,
    targets_of,
)
from services.notifier.persistence.store import DeliveryStore
from shared.observability.telemetry import traceparent

log = structlog.get_logger()


class EventHandlers:
    """Handlers of the notifier's messages, each of which may arrive more than once."""

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

    async def on_notification_requested(self, message: NotificationRequested, _: Envelope) -> None:
        """Create a delivery of the end of a round for each receiver of its batch."""
        event, notify = message.event, message.notify
        if notify is None:
            targets = await self._store.recorded_targets(event.batch_id)
        else:
            targets = targets_of(notify.webhooks, notify.emails)
        await self._create_deliveries(event.batch_id, event.round, event, targets)

    async def on_circuit_changed(self, message: CircuitChanged, _: Envelope) -> None:
        """Alert operators of a provider that refuses every call, once each time its circuit opens."""
        if message.state == "open":
            await self._create_deliveries(alert_id(message), 1, message, self._operator_targets)

    async def on_batch_stuck(self, message: BatchStuck, _: Envelope) -> None:
        """Alert operators of a batch that cannot end."""
        await self._create_deliveries(stuck_alert_id(message), 1, message, self._operator_targets)

    async def on_key_expiring(self, message: KeyExpiring, _: Envelope) -> None:
        """Tell operators of a key that ends soon."""
        await self._create_deliveries(expiry_alert_id(message), 1, message, self._operator_targets)

    async def _create_deliveries(
        self,
        id_: UUID,
        round_: int,
        event: BatchFinished | BatchStuck | CircuitChanged | KeyExpiring,
        targets: Sequence[Target],
    ) -> None:
        """Create one delivery of an event to each target. `id_`: the batch, or the id of an alert in its place."""
        if not targets:
            return
        deliveries = list(deliveries_for(id_, round_, targets))
        body = event.encode().decode()
        await self._store.add_round(
            id_, round_, event.type, body, deliveries, traceparent(), self._schedule.first_delay()
        )
        log.info("deliveries created", batch_id=str(id_), round=round_, count=len(deliveries))
        self._wake()
