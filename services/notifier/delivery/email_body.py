"""The e-mail that reports the end of a batch: one recipient, text and HTML, and headers that users cannot add to."""

import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import SMTP
from email.utils import parseaddr
from html import escape
from itertools import accumulate
from uuid import UUID

import idna

from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.queries import FailureGroup
from batchyard_contracts.v1.values import TERMINAL_STATUSES
from services.notifier.domain.one_line import header_safe, one_line
from shared.json.summary import summary_lines

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_LONG = 2000
_CAUSES = 5
"""Largest number of causes that an e-mail names."""
LINK = "Link"
"""Name of the row with the address of the batch."""
_POLICY = SMTP.clone(cte_type="7bit", max_line_length=78)
_PLAIN_SUBJECT = 65
"""Longest subject that stands on one line as it is."""
_WORD_BYTES = 36
"""Bytes of text of an encoded word, which has at most 75 characters (RFC 2047, 2)."""


def sender_address(text: str) -> Address:
    """Read `Name <box@host>` or `box@host`; raise `ValueError` for anything else."""
    name, address = parseaddr(text)
    safe = header_safe(name) if name else ""
    try:
        address = with_ascii_domain(address)
    except ValueError:
        safe = None
    if safe is None or address.count("@") != 1 or not address.isascii():
        raise ValueError("must be an address such as batchyard@example.org or Batchyard <batchyard@example.org>")
    return _address(address, safe)


def with_ascii_domain(address: str) -> str:
    """Return the address with its domain in the form of the DNS (IDNA 2008); raise `ValueError` if it has none."""
    box, at, domain = address.rpartition("@")
    if domain.isascii():
        return address
    return box + at + idna.encode(domain, uts46=True).decode()


def compose_finished(
    event: BatchFinished,
    name: str | None,
    to: str,
    sender: Address,
    delivery_id: UUID,
    causes: Sequence[FailureGroup] = (),
    link: str | None = None,
) -> bytes:
    """Return the encoded message; raise `ValueError` if it cannot be written safely. `causes` of the failures, the most
    frequent first; `link` to the batch."""
    title = event.name or name
    headline = f"{_display_name(event, title)} has finished: {event.result}."
    rows = _table_rows(event, title, causes, link)
    return build_email(finished_subject(event, title), headline, rows, event.finished_at, to, sender, delivery_id)


def build_email(
    subject: str,
    headline: str,
    table: Sequence[tuple[str, str]],
    at: datetime,
    to: str,
    sender: Address,
    delivery_id: UUID,
) -> bytes:
    """Return an encoded message of one sentence and a table; raise `ValueError` if it cannot be written safely."""
    to = _ascii_domain_or_invalid(to)
    message = EmailMessage(_POLICY.clone(utf8=not to.isascii()))
    message["From"] = sender
    message["To"] = _address(to)
    message["Date"] = at
    message["Message-ID"] = f"<{delivery_id.hex}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    width = max((len(key) for key, _ in table), default=0) + 3
    message.set_content(headline + "\n\n" + "".join(f"{key + ':':<{width}}{value}\n" for key, value in table))
    rows = "".join(f"<tr><th align=left>{escape(key)}</th><td>{_cell(key, value)}</td></tr>\n" for key, value in table)
    page = f"<!doctype html>\n<html><body><p>{escape(headline)}</p>\n<table>\n{rows}</table></body></html>\n"
    message.add_alternative(page, subtype="html")
    encoded = b"Subject: " + encoded_subject(subject) + b"\r\n" + message.as_bytes()
    _check_headers(["Subject", *message.keys()], encoded)
    return encoded


def encoded_subject(subject: str) -> bytes:
    """Return a subject as it stands in a message. The standard library loses blanks where it folds encoded words."""
    if subject.isascii() and len(subject) <= _PLAIN_SUBJECT:
        return subject.encode()
    ends = accumulate(len(character.encode()) for character in subject)
    words: dict[int, str] = {}
    for character, end in zip(subject, ends, strict=True):
        number = (end - 1) // _WORD_BYTES
        words[number] = words.get(number, "") + character
    encoded = (b"=?utf-8?b?" + b64encode(word.encode()) + b"?=" for word in words.values())
    return b"\r\n ".join(encoded)


def finished_subject(event: BatchFinished, name: str | None) -> str:
    """Return the subject, for example: Batch 'Friday sets' finished: partial (118 of 124)."""
    counts = event.counts
    total = counts.total if counts.total is not None else counts.ended
    safe = header_safe(name) if name else None
    return f"{_display_name(event, safe)} finished: {event.result} ({counts.succeeded} of {total})"


def _display_name(event: BatchFinished, name: str | None) -> str:
    return f"Batch '{one_line(name)}'" if name else f"Batch {event.batch_id}"


def _cell(key: str, value: str) -> str:
    """Return a value as HTML. Only the link that an operator's setting makes becomes one, never text of users."""
    shown = escape(value)
    return f'<a href="{shown}">{shown}</a>' if key == LINK else shown


def _table_rows(
    event: BatchFinished, name: str | None, causes: Sequence[FailureGroup], link: str | None
) -> list[tuple[str, str]]:
    counts = event.counts
    rows = [("Batch", str(event.batch_id)), ("Workload", event.workload)]
    if name:
        rows.append(("Name", one_line(name)))
    if event.round > 1:
        rows.append(("Round", str(event.round)))
    rows.append(("Result", event.result))
    numbers = counts.model_dump()
    rows += [(status.capitalize(), str(numbers[status])) for status in TERMINAL_STATUSES if numbers[status]]
    rows += [("Accepted", _time(event.accepted_at)), ("Finished", _time(event.finished_at))]
    if event.stop_reason:
        rows.append(("Stopped by", event.stop_reason.replace("_", " ")))
    rows += [("Cause", _cause(group)) for group in causes[:_CAUSES]]
    if event.result != "completed":
        others = f"{len(causes) - _CAUSES} more, " if len(causes) > _CAUSES else ""
        rows.append(("Causes", f"{others}batchyard failures {event.batch_id}"))
        rows.append(("Run again", f"batchyard retry {event.batch_id}"))
    rows.append((LINK, link) if link else ("Show", f"batchyard show {event.batch_id}"))
    rows += [(f"[{one_line(key)}]", one_line(value)) for key, value in event.labels.items()]
    if event.summary_error:
        return [*rows, ("No summary", one_line(event.summary_error, _LONG))]
    if event.summary is None:
        return rows
    return rows + [
        (one_line(name).capitalize() or "Summary", one_line(text)) for name, text in summary_lines(event.summary)
    ]


def _cause(group: FailureGroup) -> str:
    items = f"{group.count} item{'' if group.count == 1 else 's'}"
    where = f" at {one_line(group.partition)}" if group.partition else ""
    message = f": {one_line(group.message)}" if group.message else ""
    return f"{items}, {group.code}{where}{message}"


def _time(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="seconds")


def _ascii_domain_or_invalid(to: str) -> str:
    try:
        return with_ascii_domain(to)
    except ValueError as error:
        raise ValueError("not a valid e-mail address") from error


def _address(text: str, display: str = "") -> Address:
    """Return a checked address; raise `ValueError` if it is invalid.

    Letters beyond ASCII are allowed (RFC 6531), although the parser of the standard library refuses them.
    """
    try:
        if one_line(text, len(text)) != text or "=?" in text or "\ufffd" in text:
            raise ValueError(text)
        checked = Address(display, addr_spec=_BEYOND_ASCII.sub("x", text))
        return checked if text.isascii() else Address(display, *text.rsplit("@", 1))
    except (MessageError, ValueError, IndexError) as error:  # the parser raises all of them
        raise ValueError("not a valid e-mail address") from error


def _check_headers(expected: Sequence[str], encoded: bytes) -> None:
    """Raise `ValueError` if encoding has made more headers than were set.

    Python 3.11 folds some encoded words so.
    """
    names = BytesHeaderParser(policy=_POLICY).parsebytes(encoded).keys()
    if names != expected:
        raise ValueError("the encoded headers differ from those that were set")
