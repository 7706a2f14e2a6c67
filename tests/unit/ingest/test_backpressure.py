"""Waiting items count once, whenever their numbers are read."""

from typing import Any, cast

import pytest

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.owner_limits import OwnerLimits
from services.ingest.domain.volume import Volume
from services.ingest.limits.limit_keeper import LimitKeeper
from services.ingest.submission.backpressure import Backpressure
from shared.postgres.pool import Pool


class Table:
    """The table of batches, which has so many items of ann."""

    def __init__(self) -> None:
        self.volume = Volume()

    async def fetch(self, *_: object) -> list[dict[str, Any]]:
        if not self.volume.items:
            return []
        return [{"owner": "ann", "items": self.volume.items, "bytes": self.volume.size, "batches": 1, "open": 0}]


@pytest.mark.parametrize("is_read_meanwhile", [False, True])
async def test_items_count_once_while_their_messages_are_sent(is_read_meanwhile: bool) -> None:
    table = Table()
    limits = LimitKeeper(cast("Any", None), OwnerLimits(waiting_items=10_000, waiting_bytes=5_000_000))
    backpressure = Backpressure(cast("Pool", table), limits, total=10_000)
    most = Volume(9_000, 4_900_000)
    backpressure.check("ann", most)
    with backpressure.reserve("ann", most) as accept:
        table.volume = most
        accept()  # it is committed, and its messages are being sent
        if is_read_meanwhile:
            await backpressure.refresh()
        with pytest.raises(IngestError):
            backpressure.check("ann", Volume(1_001, 0))
        backpressure.check("ann", Volume(1_000, 100_000))
    assert backpressure.waiting("ann") == most
    backpressure.check("ann", Volume(1_000, 100_000))
    for more in (Volume(1_001, 0), Volume(1, 100_001)):
        with pytest.raises(IngestError) as refused:
            backpressure.check("ann", more)
        assert refused.value.rejection.status == 429
    with backpressure.reserve("bob", Volume(1_000, 0)) as accept_late, pytest.raises(IngestError):
        backpressure.check("bob", Volume(1, 0))
    backpressure.check("bob", Volume(1_000, 5_000_000))  # that was not committed
    accept_late()  # but it was, after its sender had gone
    assert backpressure.waiting("bob") == Volume(1_000, 0)
    with pytest.raises(IngestError):
        backpressure.check("bob", Volume(1_001, 0))


async def test_batches_without_items_are_committed_side_by_side() -> None:
    limits = LimitKeeper(cast("Any", None), OwnerLimits(waiting_items=10_000))
    backpressure = Backpressure(cast("Pool", Table()), limits, total=10_000)
    nothing = Volume(0, 0)
    with backpressure.reserve("ann", nothing) as accept, backpressure.reserve("ann", nothing) as accept_other:
        accept()
        accept_other()
    with backpressure.reserve("ann", nothing), backpressure.reserve("ann", Volume(5, 100)):
        pass
    assert backpressure.waiting("ann") == nothing
