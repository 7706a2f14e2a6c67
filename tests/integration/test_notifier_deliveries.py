"""The delivery of events to their targets: the notifier's tables and workers against PostgreSQL and real receivers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from batchyard_contracts.egress import parse_networks
from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import NotificationRequested
from batchyard_contracts.v1.values import NotificationTargets
from devstack import Servers
from services.notifier.delivery import delivery_worker as delivery_worker_module
from services.notifier.delivery.delivery_worker import POLL_S, DeliveryLimits, DeliveryWorker
from services.notifier.delivery.email_body import sender_address
from services.notifier.delivery.event_handlers import EventHandlers
from services.notifier.delivery.mail_sender import MailSender
from services.notifier.delivery.smtp_relay import parse_relay
from services.notifier.delivery.webhook_sender import WebhookSender, open_session
from services.notifier.delivery.webhook_signature import WebhookSigner
from services.notifier.domain.attempt import Attempt, DeliveryDecision
from services.notifier.domain.backoff_schedule import BackoffSchedule
from services.notifier.domain.delivery import Kind
from services.notifier.persistence.store import ClaimedDelivery, DeliveryStore
from services.notifier.settings import NotifierSettings
from shared.postgres.pool import Pool, open_pool
from shared.runtime.background import BackgroundTask
from shared.runtime.health import Pulse
from tests.support.finished_batches import SECRET, finished, requested
from tests.support.mailbox import Mailbox
from tests.support.patience import until
from tests.support.webhook_receiver import Answer, WebhookReceiver

ENVELOPE = Envelope(type="", message_id="1")
QUICK = BackoffSchedule((0.0, 0.1, 0.1))
LOOPBACK = parse_networks("127.0.0.0/8,::1/128")
HOOK = "https://hooks.example/x"


@pytest.fixture
async def pool(clean: Servers) -> AsyncIterator[Pool]:
    settings = NotifierSettings(database_url=clean.database_url)
    opened = await open_pool(settings, "notifier", "services.notifier.persistence")
    yield opened
    await opened.close()


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with WebhookReceiver(SECRET) as running:
        yield running


@dataclass
class Harness:
    """The notifier's handlers and the delivery workers that they wake."""

    pool: Pool
    handlers: EventHandlers
    delivery_workers: list[DeliveryWorker]

    async def batch(self, *, webhooks: Any = (), emails: Any = (), **event: Any) -> None:
        """Finish a batch."""
        message = requested(webhooks=webhooks, emails=emails, **event)
        await self.handlers.on_notification_requested(message, ENVELOPE)

    async def rows(self) -> list[asyncpg.Record]:
        """Return all deliveries."""
        return await self.pool.fetch("SELECT * FROM deliveries ORDER BY kind, address, round")

    async def settled(self, number: int = 1) -> list[asyncpg.Record]:
        """Wait until this many deliveries have ended; return all."""
        return await until(self.rows, lambda rows: len([row for row in rows if row["state"] != "pending"]) >= number)


@pytest.fixture
def harness(pool: Pool) -> Harness:
    return make_harness(pool)


def make_harness(pool: Pool, schedule: BackoffSchedule = QUICK) -> Harness:
    delivery_workers: list[DeliveryWorker] = []

    def wake() -> None:
        for worker in delivery_workers:
            worker.wake.set()

    return Harness(pool, EventHandlers(DeliveryStore(pool), schedule, wake), delivery_workers)


@asynccontextmanager
async def delivery_worker(
    harness: Harness,
    kind: Kind = "webhook",
    *,
    mailbox: Mailbox | None = None,
    concurrency: int = 10,
    concurrency_per_destination: int = 4,
    lease_s: float = 30.0,
) -> AsyncIterator[DeliveryWorker]:
    """Run one delivery worker."""
    limits = DeliveryLimits(concurrency, concurrency_per_destination, lease_s)
    async with open_session(LOOPBACK, 5.0) as session:
        webhooks = WebhookSender(session, WebhookSigner(SECRET), lambda: datetime.now(UTC))
        mails = MailSender(parse_relay(mailbox.url) if mailbox else None, sender_address("noreply@b.example"), 5.0)
        send = webhooks.send if kind == "webhook" else mails.send
        working = DeliveryWorker(kind, DeliveryStore(harness.pool), send, QUICK, limits)
        harness.delivery_workers.append(working)
        try:
            async with running(working):
                yield working
        finally:
            harness.delivery_workers.remove(working)


@asynccontextmanager
async def running(worker: DeliveryWorker) -> AsyncIterator[None]:
    """Repeat the step of a delivery worker."""
    background_task = BackgroundTask(
        Pulse("worker", 60), worker.deliver_due, interval_s=POLL_S, wake=worker.wake, on_stop=worker.finish
    )
    task = asyncio.create_task(background_task.run())
    try:
        yield
    finally:
        background_task.stop()
        await task


async def test_each_target_and_round_has_one_delivery_however_often_a_message_arrives(harness: Harness) -> None:
    batch_id = uuid4()
    receivers: dict[str, Any] = {"webhooks": [HOOK, HOOK, "https://b.example/"], "emails": ["ann@a.example"]}
    first = requested(batch_id, **receivers)
    await asyncio.gather(*(harness.handlers.on_notification_requested(first, ENVELOPE) for _ in range(4)))
    rows = await harness.rows()
    assert [(row["kind"], row["address"], row["round"], row["state"], row["attempts"]) for row in rows] == [
        ("email", "ann@a.example", 1, "pending", 0),
        ("webhook", "https://b.example/", 1, "pending", 0),
        ("webhook", HOOK, 1, "pending", 0),
    ]
    await harness.handlers.on_notification_requested(requested(batch_id, round=2, **receivers), ENVELOPE)
    assert [row["round"] for row in await harness.rows()] == [1, 2] * 3


async def test_the_receivers_of_a_batch_from_an_earlier_version_are_told(harness: Harness) -> None:
    batch_id = uuid4()
    await harness.pool.execute(
        "INSERT INTO batches (batch_id, webhooks, emails) VALUES ($1, $2, $3)", batch_id, [HOOK], ["ann@a.example"]
    )
    for known in (batch_id, uuid4()):
        await harness.handlers.on_notification_requested(NotificationRequested(event=finished(known)), ENVELOPE)
    assert [(row["batch_id"], row["address"]) for row in await harness.rows()] == [
        (batch_id, "ann@a.example"),
        (batch_id, HOOK),
    ]


async def test_names_and_addresses_with_nul_do_not_block_the_queue(harness: Harness) -> None:
    unchecked = NotificationTargets.model_construct(
        webhooks=["https://a.example/\x00"]
    )  # as an older ingest may have let it pass
    event = finished(name="a\x00b", labels={"\x00": "\x00"})
    await harness.handlers.on_notification_requested(
        NotificationRequested.model_construct(event=event, notify=unchecked), ENVELOPE
    )
    async with delivery_worker(harness):
        (row,) = await harness.settled()
    assert (row["state"], row["reason"]) == ("failed", "not a valid address")


async def test_webhooks_and_emails_are_delivered_without_waiting_for_the_next_poll(
    harness: Harness, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_worker_module, "POLL_S", 3600.0)
    async with Mailbox() as mailbox, delivery_worker(harness), delivery_worker(harness, "email", mailbox=mailbox):
        await asyncio.sleep(0.3)  # both rest, which cannot be observed
        await harness.batch(webhooks=[receiver.url], emails=["ann@a.example"])
        (call,) = await receiver.wait_for(1)
        (letter,) = await mailbox.wait_for(1)
        rows = await harness.settled(2)
    assert call.verified
    assert letter.recipients == ("ann@a.example",)
    assert [(row["state"], row["attempts"], row["status"], row["reason"]) for row in rows] == [
        ("delivered", 1, 250, None),
        ("delivered", 1, 204, None),
    ]
    assert all(row["claimed_until"] is None and row["ended_at"] is not None for row in rows)


async def test_a_failed_delivery_is_retried_with_the_same_id(harness: Harness, receiver: WebhookReceiver) -> None:
    receiver.answer(Answer(500, body=b"first"), Answer(302), Answer(200, body=b"thanks"))
    async with delivery_worker(harness):
        await harness.batch(webhooks=[receiver.url])
        (row,) = await harness.settled()
    assert (row["state"], row["attempts"], row["status"], row["reply"]) == ("delivered", 3, 200, "thanks")
    assert len({(call.id, call.body) for call in receiver.calls}) == 1
    assert all(call.verified for call in receiver.calls)


async def test_the_last_failed_attempt_fails_the_delivery(harness: Harness, receiver: WebhookReceiver) -> None:
    receiver.answer(otherwise=Answer(503, body=b"full"))
    async with delivery_worker(harness):
        await harness.batch(webhooks=[receiver.url])
        (row,) = await harness.settled()
    assert (row["state"], row["attempts"], row["status"]) == ("failed", 3, 503)
    assert row["reason"] == "HTTP 503 (attempt 3, the last)"
    assert row["reply"] == "full"
    assert len(receiver.calls) == 3


async def test_status_410_fails_the_delivery_at_once(harness: Harness, receiver: WebhookReceiver) -> None:
    receiver.answer(Answer(410))
    async with delivery_worker(harness):
        await harness.batch(webhooks=[receiver.url])
        (row,) = await harness.settled()
    assert (row["state"], row["attempts"]) == ("failed", 1)


async def test_retry_after_is_obeyed(harness: Harness, receiver: WebhookReceiver) -> None:
    receiver.answer(Answer(429, {"Retry-After": "1"}), Answer(200))
    async with delivery_worker(harness):
        await harness.batch(webhooks=[receiver.url])
        first, second = await receiver.wait_for(2)
        assert 1.0 <= second.at - first.at < 3.0


async def test_mail_is_retried_after_4xx_but_not_after_5xx(harness: Harness) -> None:
    async with Mailbox() as mailbox, delivery_worker(harness, "email", mailbox=mailbox):
        mailbox.answer_recipient("451 greylisted")
        await harness.batch(emails=["ann@a.example"])
        await mailbox.wait_for(1)
        mailbox.answer_recipient("550 unknown")
        await harness.batch(emails=["bob@a.example"])
        ann, bob = await harness.settled(2)
    assert (ann["state"], ann["attempts"]) == ("delivered", 2)
    assert (bob["state"], bob["attempts"], bob["reason"]) == ("failed", 1, "SMTP 550")
    assert mailbox.recipients_asked == ["ann@a.example"] * 2 + ["bob@a.example"]


async def test_a_slow_endpoint_delays_neither_others_nor_mail(harness: Harness, receiver: WebhookReceiver) -> None:
    hold = asyncio.Event()
    async with WebhookReceiver(SECRET) as slow, Mailbox() as mailbox:
        slow.answer(otherwise=Answer(hold=hold))
        slow_url = slow.url.replace("127.0.0.1", "localhost")
        for _ in range(8):
            await harness.batch(webhooks=[slow_url])
        async with (
            delivery_worker(harness, concurrency=4, concurrency_per_destination=2),
            delivery_worker(harness, "email", mailbox=mailbox),
        ):
            await slow.wait_for(2)
            for _ in range(6):
                await harness.batch(webhooks=[receiver.url], emails=["ann@a.example"])
            await receiver.wait_for(6)
            await mailbox.wait_for(6)
            assert len(slow.calls) == 2
            hold.set()
            await slow.wait_for(8)
            rows = await harness.settled(20)
    assert {(row["state"], row["attempts"]) for row in rows} == {("delivered", 1)}


async def test_concurrency_limits_hold(harness: Harness, receiver: WebhookReceiver) -> None:
    hold = asyncio.Event()
    receiver.answer(otherwise=Answer(hold=hold))
    for host in ("127.0.0.1", "localhost"):
        for _ in range(4):
            await harness.batch(webhooks=[receiver.url.replace("127.0.0.1", host)])
    async with delivery_worker(harness, concurrency=5, concurrency_per_destination=3):
        await receiver.wait_for(5)
        await asyncio.sleep(0.3)
        assert len(receiver.calls) == 5
        hold.set()
        await receiver.wait_for(8)


async def test_two_notifiers_share_the_work_and_send_nothing_twice(harness: Harness, receiver: WebhookReceiver) -> None:
    for _ in range(40):
        await harness.batch(webhooks=[receiver.url])
    async with (
        delivery_worker(harness, concurrency=8, concurrency_per_destination=8),
        delivery_worker(harness, concurrency=8, concurrency_per_destination=8),
    ):
        rows = await harness.settled(40)
    assert {(row["state"], row["attempts"]) for row in rows} == {("delivered", 1)}
    assert len(receiver.calls) == len({call.id for call in receiver.calls}) == 40


async def test_a_claim_of_a_dead_process_is_free_when_its_lease_ends(
    harness: Harness, receiver: WebhookReceiver
) -> None:
    await harness.batch(webhooks=[receiver.url])
    (lost,) = await DeliveryStore(harness.pool).claim("webhook", 10, 1.0, 10, {})
    begun = time.monotonic()
    async with delivery_worker(harness):
        (row,) = await harness.settled()
    assert time.monotonic() - begun > 0.8
    assert (row["state"], row["attempts"], lost.attempt_number) == ("delivered", 2, 1)


async def test_a_late_outcome_counts_only_if_it_is_a_success(harness: Harness) -> None:
    store = DeliveryStore(harness.pool)
    await harness.batch(webhooks=[HOOK])
    (first,) = await store.claim("webhook", 10, 0.0, 10, {})
    (second,) = await store.claim("webhook", 10, 60.0, 10, {})
    await store.record_attempt(first, Attempt("give_up", "late"), DeliveryDecision("failed", "late"))
    await store.record_attempt(first, Attempt("retry", "late"), DeliveryDecision("pending", "late", 0.0))
    (row,) = await harness.rows()
    assert (row["state"], row["reason"]) == ("pending", None)
    assert row["claimed_until"] is not None
    await store.record_attempt(first, Attempt("delivered", "", 200, "ok"), DeliveryDecision("delivered"))
    await store.record_attempt(second, Attempt("give_up", "x"), DeliveryDecision("failed", "x"))
    (row,) = await harness.rows()
    assert (row["state"], row["status"]) == ("delivered", 200)


async def test_a_delivery_that_ended_its_process_each_time_fails(harness: Harness, receiver: WebhookReceiver) -> None:
    await harness.batch(webhooks=[receiver.url])
    await harness.pool.execute("UPDATE deliveries SET attempts = 6")
    async with delivery_worker(harness):
        (row,) = await harness.settled()
    assert (row["state"], row["attempts"]) == ("failed", 7)
    assert "process died" in row["reason"]
    assert receiver.calls == []


@pytest.mark.parametrize("why", ["its host is full", "another notifier is claiming it"])
async def test_due_deliveries_that_cannot_be_sent_cause_no_busy_loop(
    harness: Harness, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    hold = asyncio.Event()
    receiver.answer(otherwise=Answer(hold=hold))
    asked = 0
    claim = DeliveryStore.claim

    async def counted(self: DeliveryStore, *arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return await claim(self, *arguments)

    monkeypatch.setattr(DeliveryStore, "claim", counted)
    await harness.batch(webhooks=[receiver.url])
    async with delivery_worker(harness, concurrency_per_destination=1 if why == "its host is full" else 4):
        await receiver.wait_for(1)
        async with harness.pool.acquire() as other, other.transaction():
            await harness.batch(webhooks=[receiver.url])
            if why == "another notifier is claiming it":
                await other.execute("SELECT FROM deliveries FOR UPDATE")
            asked = 0
            await asyncio.sleep(1.0)
            assert asked <= 15
        hold.set()
        await receiver.wait_for(2)


async def test_an_exception_in_a_sender_costs_one_attempt(harness: Harness, pool: Pool) -> None:
    broken: list[UUID] = []

    async def send(claimed: ClaimedDelivery) -> Attempt:
        if claimed.attempt_number == 1:
            broken.append(claimed.delivery.id)
            raise KeyError("defect")
        return Attempt("delivered", "", 200)

    worker = DeliveryWorker("webhook", DeliveryStore(pool), send, QUICK, DeliveryLimits(5, 5, 30.0))
    async with running(worker):
        await harness.batch(webhooks=[HOOK, "https://b.example/"])
        worker.wake.set()
        rows = await harness.settled(2)
    assert {row["id"] for row in rows} == set(broken)
    assert {(row["state"], row["attempts"]) for row in rows} == {("delivered", 2)}


async def test_the_event_is_stored_unchanged(harness: Harness) -> None:
    message = requested(webhooks=[HOOK])
    await harness.handlers.on_notification_requested(message, ENVELOPE)
    kept = json.loads(await harness.pool.fetchval("SELECT event FROM rounds"))
    assert kept == json.loads(message.event.encode())
