"""Documents of the server on deletions: the fields that are shown."""

from datetime import datetime

import msgspec


class BatchDeletion(msgspec.Struct, frozen=True):
    """Deletion of a batch: numbers of deleted rows by service and table."""

    batch_id: str
    deleted: dict[str, dict[str, int]] = {}
    completed_at: datetime | None = None
