"""Tests of webhooks against real receivers, well-behaved and hostile."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from batchyard_contracts.egress import Network
from services.notifier.delivery.webhook_sender import MAX_REPLY_BYTES, NO_SECRET, WebhookSender, open_session
from services.notifier.delivery.webhook_signature import WebhookSigner
from services.notifier.domain.attempt import Attempt, AttemptOutcome
from shared.http.response_head import HEAD_TOO_LARGE
from shared.observability import telemetry
from tests.support.certificates import untrusted_server
from tests.support.finished_batches import SECRET, claimed, finished
from tests.support.patience import PATIENCE_S
from tests.support.raw_server import Behaviour, raw_server
from tests.support.webhook_receiver import Answer, WebhookReceiver

LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"),)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@asynccontextmanager
async def sender(
    *, secret: str | None = SECRET, allowed: tuple[Network, ...] = LOOPBACK, timeout_s: float = 5.0
) -> AsyncIterator[WebhookSender]:
    async with open_session(allowed, timeout_s) as session:
        yield WebhookSender(session, WebhookSigner(secret) if secret else None, lambda: datetime.now(UTC))


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with WebhookReceiver(SECRET) as running:
        yield running


async def send(url: str, *, timeout_s: float = 5.0, allowed: tuple[Network, ...] = LOOPBACK) -> Attempt:
    async with sender(timeout_s=timeout_s, allowed=allowed) as opened:
        return await opened.send(claimed("webhook", url))


async def test_a_webhook_is_signed_and_contains_event_and_trace(receiver: WebhookReceiver) -> None:
    event = finished()
    async with sender() as opened:
        with telemetry.span("test", TRACE):
            attempt = await opened.send(claimed("webhook", receiver.url + "?token=x", event=event))
    assert attempt == Attempt("delivered", "", 204, "")
    (call,) = receiver.calls
    assert call.verified
    assert call.path == "/hook?token=x"
    assert call.id == f"msg_{event.batch_id.hex}_1"
    assert call.headers["content-type"] == "application/json"
    assert call.headers["traceparent"].split("-")[1] == TRACE.split("-")[1]
    assert call.payload["type"] == "batch.finished.v1"
    assert call.payload["timestamp"] == "2026-11-20T18:30:00Z"
    assert call.payload["data"]["batch_id"] == str(event.batch_id)
    assert call.payload["data"]["counts"]["succeeded"] == 118


async def test_attempts_share_id_and_body_but_not_the_timestamp(receiver: WebhookReceiver) -> None:
    one = claimed("webhook", receiver.url)
    begun = datetime.now(UTC)
    async with open_session(LOOPBACK, 5.0) as session:
        for at in (begun, begun + timedelta(seconds=60)):
            await WebhookSender(session, WebhookSigner(SECRET), lambda at=at: at).send(one)  # type: ignore[misc]
    first, second = receiver.calls
    assert (first.id, first.body) == (second.id, second.body)
    assert int(second.headers["webhook-timestamp"]) == int(first.headers["webhook-timestamp"]) + 60
    assert first.verified
    assert second.verified


async def test_another_secret_does_not_verify(receiver: WebhookReceiver) -> None:
    async with sender(secret="whsec_" + "QUJD" * 8) as opened:
        attempt = await opened.send(claimed("webhook", receiver.url))
    assert attempt.status == 400
    assert not receiver.calls[0].verified


async def test_without_a_secret_every_attempt_fails(receiver: WebhookReceiver) -> None:
    async with sender(secret=None) as opened:
        assert await opened.send(claimed("webhook", receiver.url)) == Attempt("give_up", NO_SECRET)
    assert receiver.calls == []


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "delivered"),
        (202, "delivered"),
        (400, "retry"),
        (410, "give_up"),
        (500, "retry"),
        (502, "retry"),
    ],
)
async def test_the_http_status_decides_the_outcome(
    receiver: WebhookReceiver, status: int, outcome: AttemptOutcome
) -> None:
    receiver.answer(Answer(status, body=b"because\0"))
    attempt = await send(receiver.url)
    assert (attempt.outcome, attempt.status, attempt.reply) == (outcome, status, "because\ufffd")


async def test_a_redirect_is_a_failure_and_is_not_followed(receiver: WebhookReceiver) -> None:
    for status in (301, 302, 303, 307, 308):
        receiver.answer(Answer(status, {"Location": receiver.url}))
        attempt = await send(receiver.url)
        assert (attempt.outcome, attempt.status) == ("retry", status)
    assert len(receiver.calls) == 5


async def test_retry_after_is_read_as_seconds_and_as_a_date(receiver: WebhookReceiver) -> None:
    receiver.answer(Answer(429, {"Retry-After": "17"}))
    assert (await send(receiver.url)).retry_after_s == 17
    until = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    receiver.answer(Answer(503, {"Retry-After": until}))
    assert (await send(receiver.url)).retry_after_s == pytest.approx(300, abs=5)
    receiver.answer(Answer(500, {"Retry-After": "17"}))
    assert (await send(receiver.url)).retry_after_s is None


async def test_a_request_without_a_response_times_out(receiver: WebhookReceiver) -> None:
    receiver.answer(Answer(hold=asyncio.Event()))
    begun = time.monotonic()
    assert await send(receiver.url, timeout_s=0.3) == Attempt("retry", "timeout")
    assert time.monotonic() - begun < PATIENCE_S


async def test_a_slow_body_does_not_change_the_outcome_of_the_status(receiver: WebhookReceiver) -> None:
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b"."
            await asyncio.sleep(0.02)

    for status, outcome in ((200, "delivered"), (500, "retry")):
        receiver.answer(Answer(status, parts=drip()))
        begun = time.monotonic()
        attempt = await send(receiver.url, timeout_s=0.5)
        assert (attempt.outcome, attempt.status) == (outcome, status)
        assert set(attempt.reply) == {"."}
        assert time.monotonic() - begun < PATIENCE_S


async def test_64_kib_of_an_endless_body_are_read_and_1_kib_is_stored(receiver: WebhookReceiver) -> None:
    sent = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1_000_000_000:
            sent += 65_536
            yield b"x" * 65_536

    receiver.answer(Answer(200, parts=flood()))
    attempt = await send(receiver.url)
    assert attempt.outcome == "delivered"
    assert attempt.reply == "x" * MAX_REPLY_BYTES
    assert sent < 50_000_000


async def test_a_gzip_body_is_not_decompressed(receiver: WebhookReceiver) -> None:
    receiver.answer(Answer(200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(50_000_000))))
    attempt = await send(receiver.url)
    assert attempt.outcome == "delivered"
    assert "\x00" not in attempt.reply
    assert len(attempt.reply) <= MAX_REPLY_BYTES


async def test_an_aborted_connection_is_retried(receiver: WebhookReceiver) -> None:
    receiver.answer(Answer(hang_up=True))
    attempt = await send(receiver.url)
    assert (attempt.outcome, attempt.status) == ("retry", None)
    assert attempt.reason.startswith("no valid answer")


def replying(reply: bytes) -> Behaviour:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()

    return behaviour


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000,
    ],
    ids=["nothing", "ssh", "many headers", "long header"],
)
async def test_a_response_that_is_not_http_is_retried(reply: bytes) -> None:
    async with raw_server(replying(reply)) as port:
        attempt = await send(f"http://127.0.0.1:{port}/")
    assert (attempt.outcome, attempt.status) == ("retry", None)


async def test_a_refused_connection_is_retried() -> None:
    async with raw_server(replying(b"")) as port:
        pass
    assert await send(f"http://127.0.0.1:{port}/") == Attempt(
        "retry", "not connected: the server refused the connection"
    )


async def test_an_unknown_host_name_is_retried() -> None:
    assert await send("http://nobody.invalid/") == Attempt("retry", "host name not resolved")


async def test_an_untrusted_certificate_is_retried_without_sending(tmp_path: Path) -> None:
    async with WebhookReceiver(SECRET, tls=untrusted_server(tmp_path)) as secure:
        attempt = await send(secure.url)
        assert attempt.outcome == "retry"
        assert attempt.reason == "no secure connection: the certificate of the server is not valid"
        assert secure.calls == []


async def test_tls_to_a_plain_port_is_retried(receiver: WebhookReceiver) -> None:
    attempt = await send(receiver.url.replace("http://", "https://"))
    assert (attempt.outcome, attempt.status) == ("retry", None)
    assert receiver.calls == []


@pytest.mark.parametrize(
    "url", ["http://", "http://[::1", "http://a:99999/", "http://\ufffd/", "https:///x", "http://.../"]
)
async def test_an_invalid_url_fails_for_good(url: str) -> None:
    attempt = await send(url)
    assert attempt == Attempt("give_up", "not a valid address")


async def test_private_addresses_fail_for_good_unless_allowed(receiver: WebhookReceiver) -> None:
    for url in (
        receiver.url,
        receiver.url.replace("127.0.0.1", "localhost"),
        "http://169.254.169.254/latest/meta-data/",
    ):
        attempt = await send(url, allowed=())
        assert attempt.outcome == "give_up"
        assert attempt.reason.startswith("address refused")
    assert receiver.calls == []


async def test_cookies_are_not_stored(receiver: WebhookReceiver) -> None:
    receiver.answer(Answer(200, {"Set-Cookie": "a=b"}))
    async with sender() as opened:
        for _ in range(2):
            await opened.send(claimed("webhook", receiver.url))
    assert "cookie" not in receiver.calls[1].headers


@pytest.mark.parametrize("headers", [b"X-Policy: " + b"x" * 34_000 + b"\r\n", b"X: v\r\n" * 300])
async def test_large_headers_around_a_success_are_accepted(headers: bytes) -> None:
    async with raw_server(replying(b"HTTP/1.1 200 OK\r\n" + headers + b"Content-Length: 0\r\n\r\n")) as port:
        assert (await send(f"http://127.0.0.1:{port}/")).outcome == "delivered"


async def test_headers_past_the_limits_are_named() -> None:
    async with raw_server(replying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n")) as port:
        attempt = await send(f"http://127.0.0.1:{port}/")
    assert attempt == Attempt("retry", f"no valid answer: {HEAD_TOO_LARGE}")
