"""Reads the `Retry-After` header (RFC 9110, 10.2.3): seconds, or a date."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_DELAY_SECONDS = 24 * 3600.0


def retry_after_seconds(value: str | None, *, date: str | None, now: datetime) -> float | None:
    """Seconds to wait, within a day; None when the header is missing or says nothing that can be understood.

    A date is measured from the answer's own `Date` where it has one, so that a wrong clock does no harm.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        until = _moment(value)
        if until is None:
            return None
        seconds = (until - (_moment(date) or now)).total_seconds()
    return min(max(seconds, 0.0), MAX_DELAY_SECONDS) if math.isfinite(seconds) else None


def _moment(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
