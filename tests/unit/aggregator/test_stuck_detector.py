"""A batch about which nothing can be done keeps no other one waiting."""

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from batchyard_contracts.v1.flow import BatchResend
from batchyard_contracts.v1.queries import HeldQuery, HeldReply, UnheldBatch
from services.aggregator.domain.batch import Batch
from services.aggregator.maintenance.stuck_detector import StuckDetector
from shared.messaging.publisher import OutgoingMessage
from shared.runtime.errors import PublishFailed
from tests.support.ledger_messages import at


async def test_an_error_of_one_batch_holds_up_no_other() -> None:
    failing, good = Batch(1, uuid4(), total=3), Batch(2, uuid4(), total=3)
    resent: list[UUID] = []

    async def idle_batches(*_: object) -> list[Batch]:
        return [failing, good]

    async def query(asked: HeldQuery, _: object) -> HeldReply:
        return HeldReply(unheld=[UnheldBatch(batch_id=one) for one in asked.batch_ids])

    async def publish(messages: list[OutgoingMessage]) -> None:
        asked_for = BatchResend.decode(messages[0].body).batch_id
        if asked_for == failing.batch_id:
            raise PublishFailed("refused")
        resent.append(asked_for)

    async def queue_depth(_: str) -> int:
        return 0

    detector = StuckDetector(
        cast("Any", SimpleNamespace(idle_batches=idle_batches)),
        cast("Any", None),
        cast("Any", SimpleNamespace(publish=publish)),
        cast("Any", SimpleNamespace(query=query)),
        queue_depth,
        lambda: at(1),
        idle_s=1.0,
    )
    assert await detector.sweep() is None
    with pytest.raises(ExceptionGroup) as caught:
        await detector.sweep()
    assert [str(error) for error in caught.value.exceptions] == ["refused"]
    assert resent == [good.batch_id]
