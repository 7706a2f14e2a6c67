"""Sends one e-mail through the SMTP relay."""

import asyncio
import contextlib
from email.headerregistry import Address

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from batchyard_contracts.v1.events import BatchFinished, BatchStuck, CircuitChanged
from services.notifier.delivery.alert_email import compose_alert, compose_stuck
from services.notifier.delivery.email_body import compose_finished, with_ascii_domain
from services.notifier.delivery.smtp_relay import SmtpRelay
from services.notifier.domain.attempt import Attempt, smtp_attempt
from services.notifier.persistence.store import ClaimedDelivery

MAX_REPLY_CHARACTERS = 1024
_QUIT_TIMEOUT_S = 1.0
NO_STARTTLS = "the mail server offers no STARTTLS, and a password is not sent without: use smtps:// or another server"
NO_RELAY = "no mail server: set BATCHYARD_SMTP_URL"


class MailSender:
    """Sender of e-mails through one SMTP relay; without a relay every attempt fails."""

    def __init__(self, relay: SmtpRelay | None, sender: Address, timeout_s: float) -> None:
        self._relay = relay
        self._sender = sender
        self._timeout_s = timeout_s

    async def send(self, claimed: ClaimedDelivery) -> Attempt:
        """Make one attempt; failures are returned, not raised."""
        if self._relay is None:
            return Attempt("give_up", NO_RELAY)
        delivery = claimed.delivery
        try:
            email = self._compose(claimed)
        except ValueError:
            return _INVALID
        try:
            return await self._submit(self._relay, delivery.target.address, email)
        except TimeoutError:
            return Attempt("retry", "timeout")
        except SMTPRecipientsRefused as error:
            return _refusal(error.recipients[0])
        except SMTPAuthenticationError as error:  # an error of the configuration, not of this message
            return Attempt("retry", f"smtp {error.code}: login refused", error.code, _excerpt(error.message))
        except SMTPResponseException as error:
            return _refusal(error)
        except SMTPNotSupported:
            return Attempt("give_up", "the mail server does not support a required extension")
        except (SMTPException, OSError) as error:
            return _no_connection(self._relay, error)
        except ValueError:  # last, because certificate errors are ValueErrors too
            return _INVALID

    def _compose(self, claimed: ClaimedDelivery) -> bytes:
        to, delivery_id, body = claimed.delivery.target.address, claimed.delivery.id, claimed.event.encode()
        if claimed.type == CircuitChanged.type:
            return compose_alert(CircuitChanged.decode(body), to, self._sender, delivery_id)
        if claimed.type == BatchStuck.type:
            return compose_stuck(BatchStuck.decode(body), to, self._sender, delivery_id)
        return compose_finished(BatchFinished.decode(body), claimed.name, to, self._sender, delivery_id)

    async def _submit(self, relay: SmtpRelay, to: str, email: bytes) -> Attempt:
        client = SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.username,
            password=relay.password,
            use_tls=relay.tls,
            start_tls=True if relay.requires_starttls else None,
            local_hostname=self._sender.domain,
            timeout=self._timeout_s,
        )
        to = with_ascii_domain(to)
        options = [] if to.isascii() else ["SMTPUTF8"]
        try:
            async with asyncio.timeout(self._timeout_s):
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
    return Attempt("retry", f"not connected: {type(error).__name__}")


def _refusal(error: SMTPResponseException) -> Attempt:
    return smtp_attempt(error.code, _excerpt(error.message))


def _excerpt(text: str) -> str:
    return text[:MAX_REPLY_CHARACTERS].replace("\x00", "\ufffd")
