"""Tests of e-mail against a real SMTP server on loopback."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.notifier.delivery import smtp_relay
from services.notifier.delivery.email_body import sender_address
from services.notifier.delivery.mail_sender import NO_RELAY, NO_STARTTLS, MailSender
from services.notifier.delivery.smtp_relay import parse_relay
from services.notifier.domain.attempt import Attempt, AttemptOutcome
from tests.support.certificates import untrusted_server
from tests.support.finished_batches import claimed
from tests.support.mailbox import Mailbox
from tests.support.patience import PATIENCE_S
from tests.support.raw_server import raw_server

TO = "ann@a.example"


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with Mailbox() as running:
        yield running


async def send(url: str | None, to: str = TO, *, timeout_s: float = 5.0) -> Attempt:
    relay = parse_relay(url) if url else None
    return await MailSender(relay, sender_address("Batchyard <noreply@b.example>"), timeout_s).send(
        claimed("email", to)
    )


async def test_an_email_arrives_at_one_recipient(mailbox: Mailbox) -> None:
    attempt = await send(mailbox.url)
    assert (attempt.outcome, attempt.status) == ("delivered", 250)
    (letter,) = await mailbox.wait_for(1)
    assert (letter.sender, letter.recipients) == ("noreply@b.example", (TO,))
    assert letter.message["Subject"] == "Batch 'Friday sets' finished: partial (118 of 124)"


async def test_a_second_attempt_has_the_same_message_id(mailbox: Mailbox) -> None:
    sender = MailSender(parse_relay(mailbox.url), sender_address("noreply@b.example"), 5.0)
    one = claimed("email", TO)
    await sender.send(one)
    await sender.send(one)
    first, second = mailbox.letters
    assert first.message["Message-ID"] == second.message["Message-ID"] == f"<{one.delivery.id.hex}@b.example>"


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("451 greylisted, come back", "retry"),
        ("452 full", "retry"),
        ("550 no such user", "give_up"),
        ("554 no", "give_up"),
    ],
)
async def test_the_smtp_code_decides_the_outcome(mailbox: Mailbox, reply: str, outcome: AttemptOutcome) -> None:
    for refuse in (mailbox.answer, mailbox.answer_recipient):
        refuse(reply)
        attempt = await send(mailbox.url)
        assert (attempt.outcome, attempt.status) == (outcome, int(reply[:3]))
        assert reply[4:] in attempt.reply
        assert attempt.reason == f"SMTP {reply[:3]}"
    assert (await send(mailbox.url)).outcome == "delivered"
    assert len(mailbox.letters) == 1


async def test_an_unreachable_server_is_retried(mailbox: Mailbox) -> None:
    async with Mailbox() as other:
        url = other.url
    attempt = await send(url)
    assert (attempt.outcome, attempt.status) == ("retry", None)
    assert attempt.reason.startswith("not sent: ")


async def test_a_silent_server_times_out() -> None:
    connected = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()

    async with raw_server(silent) as port:
        begun = time.monotonic()
        attempt = await send(f"smtp://127.0.0.1:{port}", timeout_s=0.3)
        assert connected.is_set()
    assert attempt == Attempt("retry", "timeout")
    assert time.monotonic() - begun < PATIENCE_S


@pytest.mark.parametrize(("greeting", "outcome"), [(b"421 busy\r\n", "retry"), (b"554 go away\r\n", "give_up")])
async def test_the_code_of_the_greeting_decides_the_outcome(greeting: bytes, outcome: AttemptOutcome) -> None:
    async def rude(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()

    async with raw_server(rude) as port:
        attempt = await send(f"smtp://127.0.0.1:{port}")
    assert (attempt.outcome, attempt.status) == (outcome, int(greeting[:3]))


async def test_a_wrong_password_is_retried() -> None:
    async with Mailbox(login=("ann", "right")) as guarded:
        assert (await send(guarded.url)).outcome == "delivered"
        assert guarded.letters[0].user == "ann"
        attempt = await send(guarded.url.replace("right", "wrong"))
        assert (attempt.outcome, attempt.status) == ("retry", 535)
        assert len(guarded.letters) == 1


async def test_starttls_is_used_when_offered_and_the_certificate_is_checked(tmp_path: Path) -> None:
    async with Mailbox(tls=untrusted_server(tmp_path)) as secure:
        attempt = await send(secure.url)
        assert (attempt.outcome, attempt.status) == ("retry", None)
        assert secure.letters == []


async def test_a_password_is_sent_without_tls_to_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Mailbox(login=("ann", "right")) as elsewhere:
        monkeypatch.setattr(smtp_relay, "is_loopback", lambda _: False)
        assert await send(elsewhere.url) == Attempt("retry", NO_STARTTLS)
        assert elsewhere.letters == []


@pytest.mark.parametrize("to", ["ann", "a@b, c@d", "a\ufffd@b.example", "a@b\r\nRCPT TO:<x@y>"])
async def test_an_invalid_address_is_not_attempted(mailbox: Mailbox, to: str) -> None:
    assert await send(mailbox.url, to) == Attempt("give_up", "not a valid address")
    assert mailbox.recipients_asked == []


@pytest.mark.parametrize(
    ("to", "sent_to"),
    [
        ("anna@bücher.example", "anna@xn--bcher-kva.example"),
        ("anna@Straße.example", "anna@xn--strae-oqa.example"),
        ("anna@日本.example", "anna@xn--wgv71a.example"),
    ],
)
async def test_a_domain_beyond_ascii_is_written_as_the_dns_knows_it(to: str, sent_to: str) -> None:
    async with Mailbox(smtputf8=False) as old:
        assert (await send(old.url, to)).outcome == "delivered"
        assert old.letters[0].recipients == (sent_to,)
        assert old.letters[0].message["To"] == sent_to


@pytest.mark.parametrize("to", ["anna@bü cher.example", "anna@-ü-.example", "anna@ü..example"])
async def test_a_domain_that_is_none_is_not_attempted(mailbox: Mailbox, to: str) -> None:
    assert await send(mailbox.url, to) == Attempt("give_up", "not a valid address")


async def test_an_address_beyond_ascii_is_delivered_by_smtputf8(mailbox: Mailbox) -> None:
    assert (await send(mailbox.url, "jörg@b.example")).outcome == "delivered"
    assert mailbox.letters[0].recipients == ("jörg@b.example",)


async def test_an_address_beyond_ascii_fails_without_smtputf8() -> None:
    async with Mailbox(smtputf8=False) as old:
        attempt = await send(old.url, "jörg@b.example")
        assert attempt == Attempt("give_up", "the mail server does not support a required extension")
        assert (await send(old.url)).outcome == "delivered"


async def test_a_server_that_is_silent_after_accepting_counts_as_delivered() -> None:
    goodbye = asyncio.Event()
    async with Mailbox(goodbye=goodbye) as slow:
        attempt = await send(slow.url, timeout_s=0.5)
        goodbye.set()
    assert attempt.outcome == "delivered"


async def test_without_a_relay_every_attempt_fails() -> None:
    assert await send(None) == Attempt("give_up", NO_RELAY)
