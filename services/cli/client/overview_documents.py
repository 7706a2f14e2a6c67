"""Documents of the server for the overview: the fields that are shown."""

from datetime import datetime

import msgspec

from services.cli.client.documents import Batch


class BatchNumbers(msgspec.Struct, frozen=True):
    """Numbers of batches; None is not known at present."""

    open: int = 0
    running: int = 0
    paused: int | None = None
    completed: int | None = None
    partial: int | None = None
    failed: int | None = None
    cancelled: int | None = None


class ItemNumbers(msgspec.Struct, frozen=True):
    """Numbers of items that have not ended."""

    remaining: int = 0
    running: int | None = None


class AttentionEntry(msgspec.Struct, frozen=True):
    """Something that needs somebody."""

    kind: str
    detail: str
    batch_id: str | None = None
    workload: str | None = None
    schedule: str | None = None
    at: datetime | None = None


class SystemPart(msgspec.Struct, frozen=True):
    """A service or a server."""

    name: str
    kind: str
    state: str
    instances: int | None = None
    messages: int | None = None


class Overview(msgspec.Struct, frozen=True):
    """Overview of batches, of what needs somebody, and of services and servers."""

    batches: BatchNumbers
    items: ItemNumbers
    items_per_s: float
    attention: list[AttentionEntry] = []
    system: list[SystemPart] = []
    ends: list[Batch] | None = None
