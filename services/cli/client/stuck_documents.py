"""Documents of the server on batches that make no progress: the fields that are shown."""

from datetime import datetime

import msgspec

from services.cli.client.documents import Batch
from services.cli.client.reason_documents import HoldReason


class StuckBatch(msgspec.Struct, frozen=True):
    """Unfinished batch without progress."""

    batch: Batch
    since: datetime
    reasons: list[HoldReason] = []


class StuckList(msgspec.Struct, frozen=True):
    """Batches that make no progress."""

    batches: list[StuckBatch]
