"""Sends one e-mail through the SMTP relay."""

import asyncio
import contextlib
import ssl
from email.headerregistry import Address
from uuid import UUID

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from batchyard_contracts.v1.events import BatchFinished, BatchStuck, CircuitChanged, KeyExpiring
from services.notifier.delivery.alert_email import compose_alert, compose_expiring, compose_stuck
from services.notifier.delivery.cause_reader import CauseReader
from services.notifier.delivery.email_body import compose_finished, with_ascii_domain
from services.notifier.delivery.smtp_relay import SmtpRelay
from services.notifier.domain.attempt import Attempt, smtp_attempt
from services.notifier.persistence.store import ClaimedDelivery
from shared.http.failure_words import failure_words

MAX_REPLY_CHARACTERS = 1024
_QUIT_TIMEOUT_S = 1.0
_SHARE_OF_CAUSES = 0.25
"""Part of the time of an attempt that the question for the causes of failures may take."""
NO_STARTTLS = "the mail server offers no STARTTLS, and a password is not sent without: use smtps:// or another server"
NO_RELAY = "no mail server: set BATCHYARD_SMTP_URL"


class MailSender:
    """Sender of e-mails through one SMTP relay; without a relay every attempt fails."""

    def __init__(
        self,
        relay: SmtpRelay | None,
        sender: Address,
        timeout_s: float,
        causes: CauseReader | None = None,
        public_url: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`public_url`: address at which people reach the HTTP API; None: e-mails have no links."""
        self._causes = causes
        self._public_url = public_url
        self._relay = relay
        self._sender = sender
        self._timeout_s = timeout_s
        self._tls = tls

    async def send(self, claimed: ClaimedDelivery) -> Attempt:
        """Make one attempt; failures are returned, not raised."""
        if self._relay is None:
            return Attempt("give_up", NO_RELAY)
        delivery = claimed.delivery
        try:
            email = await self._compose(claimed)
        except ValueError:
            return _INVALID
        try:
            return await self._submit(self._relay, delivery.target.address, email)
        except TimeoutError:
            return Attempt("retry", "timeout")
        except SMTPRecipientsRefused as error:
            return _refusal(error.recipients[0])
        except SMTPAuthenticationError as error:  # an error of the configuration, not of this message
            return Attempt("retry", f"SMTP {error.code}: the login was refused", error.code, _excerpt(error.message))
        except SMTPResponseException as error:
            return _refusal(error)
        except SMTPNotSupported:
            return Attempt("give_up", "the mail server does not support a required extension")
        except (SMTPException, OSError) as error:
            return _no_connection(self._relay, error)
        except ValueError:  # last, because certificate errors are ValueErrors too
            return _INVALID

    async def _compose(self, claimed: ClaimedDelivery) -> bytes:
        to, delivery_id, body = claimed.delivery.target.address, claimed.delivery.id, claimed.event.encode()
        if claimed.type == CircuitChanged.type:
            return compose_alert(CircuitChanged.decode(body), to, self._sender, delivery_id)
        if claimed.type == BatchStuck.type:
            stuck = BatchStuck.decode(body)
            return compose_stuck(stuck, to, self._sender, delivery_id, self._link_to(stuck.batch_id))
        if claimed.type == KeyExpiring.type:
            return compose_expiring(KeyExpiring.decode(body), to, self._sender, delivery_id)
        event = BatchFinished.decode(body)
        causes = await self._causes.causes(claimed, event, self._timeout_s * _SHARE_OF_CAUSES) if self._causes else []
        link = self._link_to(event.batch_id)
        return compose_finished(event, claimed.name, to, self._sender, delivery_id, causes, link)

    def _link_to(self, batch_id: UUID) -> str | None:
        return f"{self._public_url}/api/v1/batches/{batch_id}" if self._public_url else None

    async def _submit(self, relay: SmtpRelay, to: str, email: bytes) -> Attempt:
        client = SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.username,
            password=relay.password,
            use_tls=relay.tls,
            start_tls=True if relay.requires_starttls else None,
            tls_context=self._tls,
            local_hostname=self._sender.domain,
            timeout=self._timeout_s,
        )
        to = with_ascii_domain(to)
        options = [] if to.isascii() else ["SMTPUTF8"]
        try:
            async with asyncio.timeout(self._timeout_s * (1 - _SHARE_OF_CAUSES)):
                await client.connect()
                _, answer = await client.sendmail(self._sender.addr_spec, [to], email, mail_options=options)
            with contextlib.suppress(SMTPException, OSError):  # the mail was accepted; a failed QUIT changes nothing
                await client.quit(timeout=_QUIT_TIMEOUT_S)
            return Attempt("delivered", "", 250, _excerpt(answer))
        finally:
            client.close()


_INVALID = Attempt("give_up", "not a valid address")


def _no_connection(relay: SmtpRelay, error: Exception) -> Attempt:
    if relay.requires_starttls and "STARTTLS" in str(error):
        return Attempt("retry", NO_STARTTLS)
    return Attempt("retry", f"not sent: {failure_words(error)}")


def _refusal(error: SMTPResponseException) -> Attempt:
    return smtp_attempt(error.code, _excerpt(error.message))


def _excerpt(text: str) -> str:
    return text[:MAX_REPLY_CHARACTERS].replace("\x00", "\ufffd")
