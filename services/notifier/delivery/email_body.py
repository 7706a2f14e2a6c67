"""Writes the e-mail about the end of a batch: one recipient, text and HTML, headers that users cannot add to."""

import re
from collections.abc import Sequence
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import SMTP
from email.utils import parseaddr
from html import escape
from uuid import UUID

from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.values import TERMINAL_STATUSES
from services.notifier.domain.one_line import header_safe, one_line
from shared.json.summary import outline

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_LONG = 2000
_POLICY = SMTP.clone(cte_type="7bit", max_line_length=78)


def sender_address(text: str) -> Address:
    """Read `Name <box@host>` or `box@host`; raises `ValueError` for anything else."""
    name, address = parseaddr(text)
    safe = header_safe(name) if name else ""
    if safe is None or address.count("@") != 1 or not address.isascii():
        raise ValueError("must be an address such as batchyard@example.org or Batchyard <batchyard@example.org>")
    return _address(address, safe)


def compose(event: BatchFinished, name: str | None, to: str, sender: Address, delivery_id: UUID) -> bytes:
    """The message, the same on every attempt; raises `ValueError` when it cannot be written safely."""
    title = event.name or name
    headline = f"{_called(event, title)} has finished: {event.result}."
    return written(subject(event, title), headline, _facts(event, title), event.finished_at, to, sender, delivery_id)


def written(
    about: str,
    headline: str,
    facts: Sequence[tuple[str, str]],
    at: datetime,
    to: str,
    sender: Address,
    delivery_id: UUID,
) -> bytes:
    """A message of one sentence and a table; raises `ValueError` when it cannot be written safely."""
    message = EmailMessage(_POLICY.clone(utf8=not to.isascii()))
    message["Subject"] = about
    message["From"] = sender
    message["To"] = _address(to)
    message["Date"] = at
    message["Message-ID"] = f"<{delivery_id.hex}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(headline + "\n\n" + "".join(f"{key + ':':<12}{value}\n" for key, value in facts))
    rows = "".join(f"<tr><th align=left>{escape(key)}</th><td>{escape(value)}</td></tr>\n" for key, value in facts)
    page = f"<!doctype html>\n<html><body><p>{escape(headline)}</p>\n<table>\n{rows}</table></body></html>\n"
    message.add_alternative(page, subtype="html")
    bytes_ = message.as_bytes()
    _check_headers(message, bytes_)
    return bytes_


def subject(event: BatchFinished, name: str | None) -> str:
    """For example: Batch 'Friday sets' finished: partial (118 of 124)."""
    counts = event.counts
    total = counts.total if counts.total is not None else counts.ended
    safe = header_safe(name) if name else None
    return f"{_called(event, safe)} finished: {event.result} ({counts.succeeded} of {total})"


def _called(event: BatchFinished, name: str | None) -> str:
    return f"Batch '{one_line(name)}'" if name else f"Batch {event.batch_id}"


def _facts(event: BatchFinished, name: str | None) -> list[tuple[str, str]]:
    counts = event.counts
    facts = [("Batch", str(event.batch_id)), ("Workload", event.workload)]
    if name:
        facts.append(("Name", one_line(name)))
    if event.round > 1:
        facts.append(("Round", str(event.round)))
    facts.append(("Result", event.result))
    numbers = counts.model_dump()
    facts += [(status.capitalize(), str(numbers[status])) for status in TERMINAL_STATUSES if numbers[status]]
    facts += [("Accepted", _time(event.accepted_at)), ("Finished", _time(event.finished_at))]
    facts += [(f"[{one_line(key)}]", one_line(value)) for key, value in event.labels.items()]
    if event.summary_error:
        return [*facts, ("No summary", one_line(event.summary_error, _LONG))]
    if event.summary is None:
        return facts
    return facts + [(one_line(name).capitalize() or "Summary", one_line(text)) for name, text in outline(event.summary)]


def _time(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="seconds")


def _address(text: str, display: str = "") -> Address:
    """Letters beyond ASCII are allowed (RFC 6531), though the parser of the standard library refuses them."""
    try:
        if one_line(text, len(text)) != text or "=?" in text or "\ufffd" in text:
            raise ValueError(text)
        checked = Address(display, addr_spec=_BEYOND_ASCII.sub("x", text))
        return checked if text.isascii() else Address(display, *text.rsplit("@", 1))
    except (MessageError, ValueError, IndexError) as error:  # that parser raises all of them
        raise ValueError("not an address that mail can be sent to") from error


def _check_headers(message: EmailMessage, written: bytes) -> None:
    """Writing can fold a value into more headers than were set, as Python 3.11 does with some encoded words."""
    names = BytesHeaderParser(policy=_POLICY).parsebytes(written).keys()
    if names != message.keys():
        raise ValueError("the headers would not be read back as they were set")
