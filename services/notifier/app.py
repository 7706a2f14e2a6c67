"""Puts the notifier together: the inbox on one side, one courier for webhooks and one for e-mail on the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import structlog

from batchyard_contracts.topology import NOTIFIER_INBOX
from batchyard_contracts.v1.events import BatchFinished, CircuitChanged
from batchyard_contracts.v1.flow import BatchAccepted
from services.notifier.delivery.delivery_worker import Courier, Limits
from services.notifier.delivery.email_body import sender_address
from services.notifier.delivery.event_handlers import Handlers
from services.notifier.delivery.mail_sender import NO_RELAY, MailSender
from services.notifier.delivery.smtp_relay import parse_relay
from services.notifier.delivery.webhook_sender import NO_SECRET, WebhookSender, open_session
from services.notifier.delivery.webhook_signature import Signer
from services.notifier.domain.backoff_schedule import Schedule
from services.notifier.persistence.cleanup import Sweeper
from services.notifier.persistence.store import Store
from services.notifier.settings import NotifierSettings
from shared.messaging.consumer import Consumer, Route
from shared.messaging.publisher import Publisher
from shared.messaging.topology import declare
from shared.postgres.pool import open_pool
from shared.runtime.process import Runtime

log = structlog.get_logger()
_INBOX_AT_ONCE = 3
"""Fewer than the pool has connections, so that a full inbox leaves some to the couriers."""


@asynccontextmanager
async def app(settings: NotifierSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Run until the context ends; then take no more messages, and end the attempts in hand."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, "notifier", "services.notifier.persistence")
        stack.push_async_callback(pool.close)
        publisher = await Publisher.open(settings.amqp_url, "notifier")
        stack.push_async_callback(publisher.close)
        runtime.health.ready_when("RabbitMQ", publisher.connection.connected.is_set)
        await declare(publisher.connection)

        store = Store(pool)
        schedule = Schedule(settings.delivery_schedule)
        session = open_session(settings.webhook_allowed_networks, settings.webhook_timeout_s)
        stack.push_async_callback(session.close)
        couriers = [
            Courier(
                "webhook",
                store,
                WebhookSender(session, _signer(settings), lambda: datetime.now(UTC)).send,
                schedule,
                Limits(settings.webhooks_at_once, settings.webhooks_per_host, settings.delivery_lease_s),
                runtime.health.pulse("webhooks"),
            ),
            Courier(
                "email",
                store,
                _mail_sender(settings).send,
                schedule,
                Limits(settings.mails_at_once, settings.mails_at_once, settings.delivery_lease_s),
                runtime.health.pulse("mail"),
            ),
        ]
        sweeper = Sweeper(store, runtime.health.pulse("sweeper", limit_s=3 * Sweeper.EVERY_S))
        loops: list[Courier | Sweeper] = [*couriers, sweeper]
        tasks = [runtime.spawn(loop.run(), type(loop).__name__) for loop in loops]

        async def stop_loops() -> None:
            for loop in loops:
                loop.stop()
            await asyncio.wait(tasks)

        stack.push_async_callback(stop_loops)

        def wake() -> None:
            for courier in couriers:
                courier.wake()

        handlers = Handlers(store, schedule, wake, settings.operator_mails)
        control = Consumer(settings.amqp_url, publisher, "notifier")
        control.subscribe(
            NOTIFIER_INBOX,
            [
                Route(BatchAccepted, handlers.accepted),
                Route(BatchFinished, handlers.finished),
                Route(CircuitChanged, handlers.circuit),
            ],
            at_once=_INBOX_AT_ONCE,
        )
        stack.push_async_callback(control.stop)
        await control.start()
        yield


def _signer(settings: NotifierSettings) -> Signer | None:
    if settings.webhook_secret is None:
        log.warning("webhooks are not sent but recorded as failed", reason=NO_SECRET)
        return None
    return Signer(settings.webhook_secret.get_secret_value())


def _mail_sender(settings: NotifierSettings) -> MailSender:
    if settings.smtp_url is None:
        log.warning("e-mails are not sent but recorded as failed", reason=NO_RELAY)
    relay = parse_relay(settings.smtp_url.get_secret_value()) if settings.smtp_url else None
    return MailSender(relay, sender_address(settings.mail_from), settings.smtp_timeout_s)
