"""Hands one e-mail to the SMTP relay."""

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

from batchyard_contracts.v1.events import BatchFinished, CircuitChanged
from services.notifier.delivery.alert_email import compose_alert
from services.notifier.delivery.email_body import compose
from services.notifier.delivery.smtp_relay import Relay
from services.notifier.domain.attempt import Attempt, smtp_attempt
from services.notifier.persistence.store import Claimed

KEPT_CHARACTERS = 1024
_GOODBYE_S = 1.0
NO_RELAY = "no mail server: set BATCHYARD_SMTP_URL"


class MailSender:
    """Sends through one relay, or with none says so."""

    def __init__(self, relay: Relay | None, sender: Address, timeout_s: float) -> None:
        self._relay = relay
        self._sender = sender
        self._timeout_s = timeout_s

    async def send(self, claimed: Claimed) -> Attempt:
        """Make one attempt; every way that it can end is a value."""
        if self._relay is None:
            return Attempt("give_up", NO_RELAY)
        delivery = claimed.delivery
        try:
            letter = self._letter(claimed)
        except ValueError:
            return _INVALID
        try:
            return await self._hand_over(self._relay, delivery.target.address, letter)
        except TimeoutError:
            return Attempt("try_again", "no answer in time")
        except SMTPRecipientsRefused as error:
            return _refused(error.recipients[0])
        except SMTPAuthenticationError as error:  # the operator's to mend, not this message's fault
            return Attempt("try_again", f"smtp {error.code}: log-in refused", error.code, _kept(error.message))
        except SMTPResponseException as error:
            return _refused(error)
        except SMTPNotSupported:
            return Attempt("give_up", "the mail server lacks an extension that this needs")
        except (SMTPException, OSError) as error:
            return Attempt("try_again", f"not connected: {type(error).__name__}")
        except ValueError:  # last: errors of certificates are ValueErrors too
            return _INVALID

    def _letter(self, claimed: Claimed) -> bytes:
        to, delivery_id, body = claimed.delivery.target.address, claimed.delivery.id, claimed.event.encode()
        if claimed.type == CircuitChanged.type:
            return compose_alert(CircuitChanged.decode(body), to, self._sender, delivery_id)
        return compose(BatchFinished.decode(body), claimed.name, to, self._sender, delivery_id)

    async def _hand_over(self, relay: Relay, to: str, letter: bytes) -> Attempt:
        client = SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.username,
            password=relay.password,
            use_tls=relay.tls,
            local_hostname=self._sender.domain,
            timeout=self._timeout_s,
        )
        options = [] if to.isascii() else ["SMTPUTF8"]
        try:
            async with asyncio.timeout(self._timeout_s):
                await client.connect()
                _, answer = await client.sendmail(self._sender.addr_spec, [to], letter, mail_options=options)
            with contextlib.suppress(SMTPException, OSError):  # the mail is taken; a rude goodbye changes nothing
                await client.quit(timeout=_GOODBYE_S)
            return Attempt("delivered", "", 250, _kept(answer))
        finally:
            client.close()


_INVALID = Attempt("give_up", "not a valid address")


def _refused(error: SMTPResponseException) -> Attempt:
    return smtp_attempt(error.code, _kept(error.message))


def _kept(text: str) -> str:
    return text[:KEPT_CHARACTERS].replace("\x00", "\ufffd")
