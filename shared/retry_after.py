"""Reads from an answer's headers for how long its sender wants to be left alone."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_DELAY_SECONDS = 24 * 3600.0
_EPOCH_FROM = 1_000_000_000
"""A `…-Reset` this large is a moment, in seconds since 1970, as some senders write it."""
_LIMIT = re.compile(r'(?:"[^"]*"|[A-Za-z*][\w*.-]*)((?:\s*;\s*[a-z]+=(?:"[^"]*"|[^;,"]*))*)')
_PARAMETER = re.compile(r";\s*([rt])=(\d{1,9})(?![\w.])")


def asked_pause_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that an answer asks to wait, within a day; None when it does not say. `headers` ignores case.

    In this order: `retry-after-ms`, `Retry-After`, the `RateLimit` field of draft-ietf-httpapi-ratelimit-headers (the
    longest wait among the quotas that are used up), and its forerunners `RateLimit-Reset` and `X-RateLimit-Reset`.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None and milliseconds > 0:
        return min(milliseconds / 1000, MAX_DELAY_SECONDS)
    asked = retry_after_seconds(headers.get("Retry-After"), date=headers.get("Date"), now=now)
    if asked is not None:
        return asked
    waits = [_until_quota(match[1]) for match in _LIMIT.finditer(headers.get("RateLimit", "")[:1000])]
    if known := [wait for wait in waits if wait is not None]:
        return min(max(known), MAX_DELAY_SECONDS)
    for prefix in ("RateLimit", "X-RateLimit"):
        reset = _number(headers.get(f"{prefix}-Reset"))
        if reset is not None and not _number(headers.get(f"{prefix}-Remaining")):
            moment = _moment(headers.get("Date")) or now
            wait = reset - moment.timestamp() if reset >= _EPOCH_FROM else reset
            return min(max(wait, 0.0), MAX_DELAY_SECONDS)
    return None


def retry_after_seconds(value: str | None, *, date: str | None, now: datetime) -> float | None:
    """What a `Retry-After` (RFC 9110, 10.2.3) says: seconds to wait, within a day; None when it is missing or says
    nothing that can be understood.

    A date is measured from the answer's own `Date` where it has one, so that a wrong clock does no harm.
    """
    if value is None:
        return None
    seconds = _number(value)
    if seconds is None:
        until = _moment(value)
        if until is None:
            return None
        seconds = (until - (_moment(date) or now)).total_seconds()
    return min(max(seconds, 0.0), MAX_DELAY_SECONDS)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _until_quota(parameters: str) -> float | None:
    """The wait for one quota, if it is used up."""
    told = {name: int(value) for name, value in _PARAMETER.findall(parameters)}
    return float(told["t"]) if told.get("r") == 0 and "t" in told else None


def _moment(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
