"""Tests of the notifier process, from messages on RabbitMQ to webhook and e-mail, also when it is killed in between."""

import asyncio
import json
import signal
import statistics
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.message import Message
from batchyard_contracts.topology import AGGREGATOR_QUERIES, FLOW, NOTIFIER_INBOX
from batchyard_contracts.v1.flow import NotificationRequested
from batchyard_contracts.v1.queries import DeliveriesQuery, DeliveriesReply, FailureGroup, FailuresQuery, FailuresReply
from devstack import Servers
from services.notifier.delivery.delivery_worker import POLL_S
from services.notifier.delivery.mail_sender import NO_RELAY
from shared.messaging.dead_letters import REASON
from shared.messaging.publisher import OutgoingMessage, Publisher, outgoing
from shared.messaging.rpc_client import RpcClient
from shared.messaging.topology import declare
from shared.runtime.exit_codes import CONFIGURATION
from tests.support.finished_batches import SECRET, requested
from tests.support.mailbox import Mailbox
from tests.support.notifier_process import NotifierProcess
from tests.support.patience import until
from tests.support.webhook_receiver import Answer, WebhookReceiver

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE = f"00-{TRACE_ID}-b7ad6b7169203331-01"
NAME = "Friday sets nobody may log"


@pytest.fixture
async def publisher(clean: Servers) -> AsyncIterator[Publisher]:
    opened = await Publisher.open(clean.amqp_url, "tests")
    await declare(opened.connection)
    yield opened
    await opened.close()


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with WebhookReceiver(SECRET) as running:
        yield running


@pytest.fixture
def environment(clean: Servers) -> dict[str, str]:
    return clean.environment() | {
        "BATCHYARD_WEBHOOK_SECRET": SECRET,
        "BATCHYARD_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "BATCHYARD_WEBHOOK_TIMEOUT_S": "1",
        "BATCHYARD_SMTP_TIMEOUT_S": "1",
        "BATCHYARD_DELIVERY_LEASE_S": "2",
        "BATCHYARD_DELIVERY_SCHEDULE": "0,0.2,0.2,0.2",
    }


async def send(publisher: Publisher, message: Message) -> None:
    await publisher.publish([outgoing(FLOW, message, traceparent=TRACE)])


async def deliveries(servers: Servers, *, ended: int) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(servers.database_url)
    try:
        return await until(
            lambda: connection.fetch("SELECT * FROM notifier.deliveries ORDER BY kind"),
            lambda rows: len([row for row in rows if row["state"] != "pending"]) >= ended,
        )
    finally:
        await connection.close()


async def test_one_trace_leads_to_the_webhook_and_the_log_contains_no_secrets(
    clean: Servers, publisher: Publisher, receiver: WebhookReceiver, environment: dict[str, str], tmp_path: Path
) -> None:
    batch_id = uuid4()
    receiver.answer(Answer(500, body=b"their secret reply"), Answer(200, body=b"their secret reply"))
    spans = tmp_path / "spans"
    async with Mailbox(login=("ann", "pa55word")) as mailbox:
        environment |= {"BATCHYARD_SMTP_URL": mailbox.url, "BATCHYARD_TRACE_FILE": str(spans)}
        async with NotifierProcess(tmp_path / "log", **environment) as notifier:
            url = receiver.url.replace("http://", "http://user:pa55word@") + "?token=t0ken"
            await send(publisher, requested(batch_id, webhooks=[url], emails=["ann@a.example"], name=NAME))
            failed, call = await receiver.wait_for(2)
            (letter,) = await mailbox.wait_for(1)
            await deliveries(clean, ended=2)
            assert await notifier.end(signal.SIGTERM) == 0

    assert call.verified
    assert (call.id, call.body) == (failed.id, failed.body)
    assert call.path == "/hook?token=t0ken"
    assert call.payload["data"]["name"] == NAME
    assert letter.message["Subject"] == f"Batch '{NAME}' finished: partial (118 of 124)"

    read = [json.loads(line) for line in spans.read_text().splitlines()]
    sent = [span for span in read if span["name"].startswith("deliver ")]
    assert sorted(span["name"] for span in sent) == ["deliver email", "deliver webhook", "deliver webhook"]
    assert {span["context"]["trace_id"] for span in sent} == {f"0x{TRACE_ID}"}
    assert call.headers["traceparent"].split("-")[1] == TRACE_ID
    assert call.headers["traceparent"].split("-")[2] in {span["context"]["span_id"].removeprefix("0x") for span in sent}

    done = [line for line in notifier.lines() if line["event"] in ("delivered", "delivery postponed")]
    assert len(done) == 3
    assert {(line["batch_id"], line["trace_id"]) for line in done} == {(str(batch_id), TRACE_ID)}
    for word in (SECRET, SECRET.removeprefix("whsec_"), "t0ken", "pa55word", "secret reply", NAME, "ann@a.example"):
        assert word not in notifier.output()


async def test_the_deliveries_of_a_batch_are_told_to_its_owner_alone(
    clean: Servers, publisher: Publisher, receiver: WebhookReceiver, environment: dict[str, str], tmp_path: Path
) -> None:
    batch_id = uuid4()
    receiver.answer(Answer(500))
    url = receiver.url + "/0123456789abcdef?token=t0ken"
    async with NotifierProcess(tmp_path / "log", **environment | {"BATCHYARD_DELIVERY_SCHEDULE": "0,600"}):
        await send(publisher, requested(batch_id, webhooks=[url], emails=["ann@a.example"]))
        await deliveries(clean, ended=1)
        client = await RpcClient.open(clean.amqp_url, "tests")
        try:
            query = DeliveriesQuery(owner="default", batch_id=batch_id)
            reply = await until(
                lambda: client.query(query, DeliveriesReply), lambda reply: reply.deliveries[0].error is not None
            )
            hook, mail = reply.deliveries
            others = await client.query(DeliveriesQuery(owner="other", batch_id=batch_id), DeliveriesReply)
        finally:
            await client.close()
    assert (mail.target, mail.state, mail.attempts, mail.error) == ("ann@a.example", "failed", 1, NO_RELAY)
    assert mail.ended_at is not None
    assert hook.target == receiver.url + "/…?…"
    assert (hook.state, hook.attempts, hook.status, hook.error) == ("pending", 1, 500, "HTTP 500")
    assert hook.next_attempt_at is not None
    assert hook.next_attempt_at > datetime.now(UTC)
    assert others.deliveries == []


async def test_every_email_about_a_round_names_the_same_causes(
    clean: Servers, publisher: Publisher, environment: dict[str, str], tmp_path: Path
) -> None:
    batch_id, asked = uuid4(), 0
    connection = await aio_pika.connect(clean.amqp_url)
    async with connection, connection.channel() as channel, Mailbox() as mailbox:

        async def answer(message: AbstractIncomingMessage) -> None:
            nonlocal asked
            asked += 1
            query = FailuresQuery.decode(message.body)
            assert (query.owner, query.batch_id) == ("default", batch_id)
            group = FailureGroup(code="not_found", count=asked, message="HTTP 404", ordinals=[0])
            reply = FailuresReply(groups=[group])
            await channel.default_exchange.publish(
                aio_pika.Message(reply.encode(), type=reply.type, correlation_id=message.correlation_id),
                message.reply_to or "",
            )

        await (await channel.get_queue(AGGREGATOR_QUERIES.name)).consume(answer, no_ack=True)
        mailbox.answer("451 come back")
        environment |= {
            "BATCHYARD_SMTP_URL": mailbox.url,
            "BATCHYARD_PUBLIC_URL": "https://b.example",
            "BATCHYARD_SMTP_TIMEOUT_S": "20",
            "BATCHYARD_DELIVERY_LEASE_S": "60",
        }
        async with NotifierProcess(tmp_path / "log", **environment):
            await send(publisher, requested(batch_id, emails=["ann@a.example"]))
            (letter,) = await mailbox.wait_for(1)
            await deliveries(clean, ended=1)
    part = letter.message.get_body(("plain",))
    assert part is not None
    text = part.get_content()
    assert "1 item, not_found: HTTP 404" in text
    assert f"https://b.example/api/v1/batches/{batch_id}" in text
    assert asked == 1, "the second attempt uses what was stored"


async def test_a_kill_between_post_and_record_repeats_the_webhook_with_the_same_id(
    clean: Servers, publisher: Publisher, receiver: WebhookReceiver, environment: dict[str, str], tmp_path: Path
) -> None:
    batch_id = uuid4()
    receiver.answer(Answer(hold=asyncio.Event()))
    async with NotifierProcess(tmp_path / "first", **environment) as notifier:
        await send(publisher, requested(batch_id, webhooks=[receiver.url]))
        await receiver.wait_for(1)
        assert await notifier.end(signal.SIGKILL) == -signal.SIGKILL
    async with NotifierProcess(tmp_path / "second", **environment):
        first, second = await receiver.wait_for(2)
        (row,) = await deliveries(clean, ended=1)
    assert first.id == second.id == f"msg_{batch_id.hex}_1"
    assert first.body == second.body
    assert second.verified
    assert (row["state"], row["attempts"]) == ("delivered", 2)


async def test_a_request_that_comes_while_no_notifier_runs_is_delivered_once(
    clean: Servers, publisher: Publisher, receiver: WebhookReceiver, environment: dict[str, str], tmp_path: Path
) -> None:
    batches = [uuid4() for _ in range(5)]
    async with NotifierProcess(tmp_path / "first", **environment) as notifier:
        await notifier.end(signal.SIGKILL)
    for batch_id in batches:
        await send(publisher, requested(batch_id, webhooks=[receiver.url]))
        await send(publisher, requested(batch_id, webhooks=[receiver.url]))
    patient = {"BATCHYARD_WEBHOOK_TIMEOUT_S": "10", "BATCHYARD_DELIVERY_LEASE_S": "20"}
    async with NotifierProcess(tmp_path / "second", **environment | patient):
        await receiver.wait_for(5)
        rows = await deliveries(clean, ended=5)
    assert {row["batch_id"] for row in rows} == set(batches)
    assert len(receiver.calls) == len({call.id for call in receiver.calls}) == 5


async def test_sigterm_waits_for_the_attempt_in_progress(
    clean: Servers, publisher: Publisher, receiver: WebhookReceiver, environment: dict[str, str], tmp_path: Path
) -> None:
    hold = asyncio.Event()
    receiver.answer(Answer(200, hold=hold))
    batch_id = uuid4()
    async with NotifierProcess(
        tmp_path / "log", **environment | {"BATCHYARD_WEBHOOK_TIMEOUT_S": "10", "BATCHYARD_DELIVERY_LEASE_S": "20"}
    ) as notifier:
        await send(publisher, requested(batch_id, webhooks=[receiver.url]))
        await receiver.wait_for(1)
        ending = asyncio.create_task(notifier.end(signal.SIGTERM))
        await notifier.until_logged("stopping")
        hold.set()
        assert await ending == 0
    (row,) = await deliveries(clean, ended=1)
    assert (row["state"], row["attempts"]) == ("delivered", 1)
    assert len(receiver.calls) == 1


async def test_missing_secret_and_relay_are_logged_and_recorded_as_failures(
    clean: Servers, publisher: Publisher, receiver: WebhookReceiver, environment: dict[str, str], tmp_path: Path
) -> None:
    batch_id = uuid4()
    async with NotifierProcess(tmp_path / "log", **environment | {"BATCHYARD_WEBHOOK_SECRET": ""}) as notifier:
        await send(publisher, requested(batch_id, webhooks=[receiver.url], emails=["ann@a.example"]))
        mail, hook = await deliveries(clean, ended=2)
        warnings = [line["reason"] for line in notifier.lines() if line["level"] == "warning"]
    assert warnings[0] == hook["reason"] == "no secret to sign with: set BATCHYARD_WEBHOOK_SECRET"
    assert warnings[1] == mail["reason"] == "no mail server: set BATCHYARD_SMTP_URL"
    assert (hook["state"], mail["state"]) == ("failed", "failed")
    assert receiver.calls == []


async def test_a_malformed_secret_fails_the_start(environment: dict[str, str], tmp_path: Path) -> None:
    notifier = NotifierProcess(tmp_path / "log", **environment | {"BATCHYARD_WEBHOOK_SECRET": "whsec_secretish"})
    await notifier.launch()
    assert await notifier.ended() == CONFIGURATION
    assert "BATCHYARD_WEBHOOK_SECRET" in notifier.output()
    assert "24 to 64 random bytes in base64" in notifier.output()
    assert "secretish" not in notifier.output()


async def test_an_invalid_message_is_dead_lettered_and_the_next_is_handled(
    clean: Servers, publisher: Publisher, receiver: WebhookReceiver, environment: dict[str, str], tmp_path: Path
) -> None:
    batch_id = uuid4()
    async with NotifierProcess(tmp_path / "log", **environment):
        await publisher.publish(
            [OutgoingMessage(FLOW, NotificationRequested.type, NotificationRequested.type, b'{"event": 7}')]
        )
        await send(publisher, requested(batch_id, webhooks=[receiver.url]))
        await receiver.wait_for(1)
        connection = await aio_pika.connect(clean.amqp_url)
        async with connection, connection.channel() as channel:
            queue = await channel.get_queue(NOTIFIER_INBOX.dead_name)
            async with queue.iterator(timeout=10) as arriving:
                dead = await anext(arriving)
                await dead.ack()
    assert "event" in str(dead.headers[REASON])


async def test_the_end_of_a_batch_reaches_its_webhook_without_waiting_for_the_next_poll(
    publisher: Publisher, receiver: WebhookReceiver, environment: dict[str, str], tmp_path: Path
) -> None:
    waits = []
    async with NotifierProcess(tmp_path / "log", **environment):
        for number in range(1, 11):
            batch_id = uuid4()
            begun = time.monotonic()
            await send(publisher, requested(batch_id, webhooks=[receiver.url]))
            waits.append((await receiver.wait_for(number))[-1].at - begun)
    assert statistics.median(waits) < POLL_S / 2, "by chance it would be half of the time between two looks"
