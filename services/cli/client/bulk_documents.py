"""Documents of the server on actions on many batches: the fields that are shown."""

from datetime import datetime

import msgspec

from services.cli.client.documents import Batch


class BulkAction(msgspec.Struct, frozen=True):
    """An action on many batches, and how far it is."""

    id: str
    action: str
    state: str
    done: int
    refused: int
    created_at: datetime
    error: str | None = None


class BulkActions(msgspec.Struct, frozen=True):
    """Actions on many batches, the newest first."""

    actions: list[BulkAction]


class Preview(msgspec.Struct, frozen=True):
    """Batches that an action would be for."""

    count: int
    samples: list[Batch]
    more: bool = False
