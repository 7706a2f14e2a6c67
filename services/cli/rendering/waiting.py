"""Tells in words why the items of a batch wait."""

from datetime import datetime


def waiting_text(detail: str, until: datetime | None) -> str:
    """Return the reason with the time at which the wait may end."""
    return f"{detail} Until {until.astimezone():%Y-%m-%d %H:%M:%S}." if until else detail
