"""Documents of the server on the end that a batch would have: the fields that are shown."""

import msgspec

from services.cli.client.documents import Forecast


class Alternative(msgspec.Struct, frozen=True):
    """Change that would let the batch end in time."""

    detail: str


class DelayedBatch(msgspec.Struct, frozen=True):
    """Batch that would end later."""

    batch_id: str
    by_s: float


class Estimate(msgspec.Struct, frozen=True):
    """End that a batch would have."""

    forecast: Forecast
    items: int = 0
    chance: float | None = None
    alternatives: list[Alternative] = []
    delays: list[DelayedBatch] = []
    delays_of_others: int = 0
