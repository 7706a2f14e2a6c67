"""Documents of the server on what holds back a batch: the fields that are shown."""

from datetime import datetime

import msgspec

from services.cli.client.documents import WaitReason


class HoldReason(WaitReason, frozen=True):
    """Reason that holds items back; `items` is None if it holds back all of them."""

    items: int | None = None
    partition: str | None = None


class DestinationLimit(msgspec.Struct, frozen=True):
    """Limit of a destination."""

    limit: str
    partition: str
    per_second: float | None = None
    reason: str = ""
    concurrency: int | None = None
    in_flight: int = 0


class Destination(msgspec.Struct, frozen=True):
    """Destination of items of a batch."""

    partition: str
    waiting: int = 0
    in_flight: int = 0
    retries: int = 0
    next_retry_at: datetime | None = None
    reason: WaitReason | None = None
    limits: list[DestinationLimit] = []


class BatchShare(msgspec.Struct, frozen=True):
    """Place of a batch in line."""

    place: int | None = None
    batches: int = 0
    share: float = 0.0
    owner_share: float = 0.0
    preceded_by: list[str] = []


class BatchCommand(msgspec.Struct, frozen=True):
    """Command that changed a batch."""

    at: datetime
    action: str
    actor: str
    door: str


class Reasons(msgspec.Struct, frozen=True):
    """Reasons that hold back the items of a batch, and the numbers behind them."""

    found: bool = True
    reasons: list[HoldReason] = []
    paused_by: BatchCommand | None = None
    workers: int = 0
    waiting: int = 0
    more_waiting: bool = False
    in_flight: int = 0
    retries: int = 0
    next_retry_at: datetime | None = None
    share: BatchShare | None = None
    destinations: list[Destination] = []
    more_destinations: int = 0
