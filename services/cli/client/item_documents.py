"""Documents of the server on the items of a batch: the fields that are shown."""

from datetime import datetime

import msgspec


class ItemError(msgspec.Struct, frozen=True):
    """Error of the last attempt of an item."""

    code: str
    message: str = ""


class FailedAttempt(msgspec.Struct, frozen=True):
    """Attempt of an item that failed, and that another one followed."""

    attempt: int
    error: ItemError
    at: datetime
    elapsed_ms: int = 0
    round: int = 1


class Item(msgspec.Struct, frozen=True):
    """Item of a batch, and what became of it so far; payload and result are JSON, and empty in a list."""

    ordinal: int
    state: str
    custom_id: str | None = None
    partition: str | None = None
    round: int | None = None
    attempts: int = 0
    since: datetime | None = None
    worker_id: str | None = None
    retry_at: datetime | None = None
    error: ItemError | None = None
    cause: str | None = None
    duplicate_of: int | None = None
    duplicate_of_batch: str | None = None
    elapsed_ms: int | None = None
    cached: bool = False
    ended_at: datetime | None = None
    payload: msgspec.Raw = msgspec.Raw(b"")
    result: msgspec.Raw = msgspec.Raw(b"")
    failed_attempts: list[FailedAttempt] = []


class Items(msgspec.Struct, frozen=True):
    """Page of items; `next` continues it."""

    items: list[Item]
    next: int | None = None
