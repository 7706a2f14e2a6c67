"""Documents of the server for the timeline of a batch."""

from datetime import datetime
from typing import Any

import msgspec


class TimelineEntry(msgspec.Struct, frozen=True):
    """Something that happened to a batch, or to one of its destinations."""

    at: datetime
    kind: str
    round: int | None = None
    actor: str | None = None
    door: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    partition: str | None = None
    reason: str | None = None
    result: str | None = None


class Timeline(msgspec.Struct, frozen=True):
    """Page of the timeline, the newest first; `next` continues it."""

    entries: list[TimelineEntry]
    next: datetime | None = None
