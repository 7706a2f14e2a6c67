"""The notifier's composition: a message consumer, one delivery worker for webhooks and one for e-mail."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import structlog

from batchyard_contracts.topology import FLOW, NOTIFIER_INBOX, NOTIFIER_QUERIES
from batchyard_contracts.v1.events import BatchStuck, CircuitChanged, KeyExpiring
from batchyard_contracts.v1.flow import DeletionRequested, NotificationRequested, NotifierAnnounced
from batchyard_contracts.v1.queries import DeliveriesQuery
from services.notifier.delivery.cause_reader import CauseReader
from services.notifier.delivery.deletion_handler import DeletionHandler
from services.notifier.delivery.delivery_worker import POLL_S, DeliveryLimits, DeliveryWorker
from services.notifier.delivery.email_body import sender_address
from services.notifier.delivery.event_handlers import EventHandlers
from services.notifier.delivery.mail_sender import NO_RELAY, MailSender
from services.notifier.delivery.query_handler import QueryHandler
from services.notifier.delivery.smtp_relay import parse_relay
from services.notifier.delivery.webhook_sender import NO_SECRET, WebhookSender, open_session
from services.notifier.delivery.webhook_signature import WebhookSigner
from services.notifier.domain.backoff_schedule import BackoffSchedule
from services.notifier.persistence.store import DeliveryStore
from services.notifier.settings import NotifierSettings
from shared.messaging.consumer import Consumer
from shared.messaging.message_router import Route
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.rpc_client import RpcClient
from shared.messaging.topology import prepare
from shared.postgres.pool import open_pool
from shared.runtime.background import BackgroundTask
from shared.runtime.process import Runtime
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_INBOX_CONCURRENCY = 3
"""Messages handled at a time: less than the pool's size, so that delivery workers get connections."""
_QUERY_CONCURRENCY = 2
_DELETION_INTERVAL_S = 30.0


@asynccontextmanager
async def app(settings: NotifierSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Run the notifier until the block is left; then stop consuming and finish the attempts in progress."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, "notifier", "services.notifier.persistence")
        stack.push_async_callback(pool.close)
        publisher = await Publisher.open(settings.amqp_url, "notifier")
        stack.push_async_callback(publisher.close)
        runtime.health.add_readiness_check("RabbitMQ", publisher.connection.connected.is_set)
        await prepare(publisher.connection, settings.topology, "notifier")

        store = DeliveryStore(pool)
        schedule = BackoffSchedule(settings.delivery_schedule)
        rpc_client = await RpcClient.open(settings.amqp_url, "notifier", wait=False)
        stack.push_async_callback(rpc_client.close)
        session = open_session(settings.webhook_allowed_networks, settings.webhook_timeout_s)
        stack.push_async_callback(session.close)
        delivery_workers = {
            "webhooks": DeliveryWorker(
                "webhook",
                store,
                WebhookSender(session, _signer(settings), lambda: datetime.now(UTC)).send,
                schedule,
                DeliveryLimits(
                    settings.webhook_concurrency, settings.webhook_concurrency_per_host, settings.delivery_lease_s
                ),
            ),
            "mail": DeliveryWorker(
                "email",
                store,
                _mail_sender(settings, CauseReader(rpc_client, store)).send,
                schedule,
                DeliveryLimits(settings.mail_concurrency, settings.mail_concurrency, settings.delivery_lease_s),
            ),
        }
        pulse = runtime.health.pulse
        background_tasks = [
            BackgroundTask(pulse(name), worker.deliver_due, interval_s=POLL_S, wake=worker.wake, on_stop=worker.finish)
            for name, worker in delivery_workers.items()
        ]
        deletion_handler = DeletionHandler(pool, publisher, settings.deletion_days)
        deletions = deletion_handler.deletions
        background_tasks.append(
            BackgroundTask(pulse("deletions"), deletions.update, interval_s=_DELETION_INTERVAL_S, wake=deletions.wake)
        )
        background_tasks.append(
            BackgroundTask(
                pulse("old deliveries"),
                deletion_handler.forget_old,
                interval_s=DeletionHandler.FORGET_INTERVAL_S,
                tolerates_outages=True,
            )
        )
        await stack.enter_async_context(runtime.running(*background_tasks))

        def wake() -> None:
            for worker in delivery_workers.values():
                worker.wake.set()

        handlers = EventHandlers(store, schedule, wake, settings.operator_emails)
        control = Consumer(settings.amqp_url, publisher, "notifier", anonymous_owner=settings.anonymous_owner)
        control.subscribe(
            NOTIFIER_INBOX,
            [
                Route(NotificationRequested, handlers.on_notification_requested),
                Route(CircuitChanged, handlers.on_circuit_changed),
                Route(BatchStuck, handlers.on_batch_stuck),
                Route(KeyExpiring, handlers.on_key_expiring),
                Route(DeletionRequested, deletion_handler.on_deletion_requested),
            ],
            concurrency=_INBOX_CONCURRENCY,
        )
        queries = [Route(DeliveriesQuery, QueryHandler(store).on_deliveries_query)]
        control.subscribe(NOTIFIER_QUERIES, queries, concurrency=_QUERY_CONCURRENCY)
        runtime.health.add_readiness_check("messages", lambda: control.is_working)
        stack.push_async_callback(control.stop)
        await control.start()
        announced = NotifierAnnounced(
            emails=settings.smtp_url is not None,
            webhooks=settings.webhook_secret is not None,
            webhook_networks=[str(network) for network in settings.webhook_allowed_networks],
            started_at=datetime.now(UTC),
        )
        await retry_transient(lambda: publisher.publish([outgoing(FLOW, announced)]), "announcement")
        yield


def _signer(settings: NotifierSettings) -> WebhookSigner | None:
    if settings.webhook_secret is None:
        log.warning("webhooks are recorded as failed", reason=NO_SECRET)
        return None
    return WebhookSigner(settings.webhook_secret.get_secret_value())


def _mail_sender(settings: NotifierSettings, causes: CauseReader) -> MailSender:
    if settings.smtp_url is None:
        log.warning("e-mails are recorded as failed", reason=NO_RELAY)
    relay = parse_relay(settings.smtp_url.get_secret_value()) if settings.smtp_url else None
    sender = sender_address(settings.mail_from)
    tls = settings.tls_files.context() if settings.tls_files.are_given else None
    return MailSender(relay, sender, settings.smtp_timeout_s, causes, settings.public_url, tls)
