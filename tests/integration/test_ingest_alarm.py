"""A blocked broker delays an upload, then interrupts it; the upload is continued afterwards."""

from collections.abc import AsyncIterator

import pytest

from batchyard_contracts.v1.flow import BatchSealed, ItemsPage
from devstack import Servers
from services.ingest.submission import upload
from tests.support.broker_alarm import memory_alarm
from tests.support.running_ingest import running_ingest
from tests.support.upload_files import lines, ordinals, post

pytestmark = pytest.mark.faults
KEY = {"Idempotency-Key": "file"}


async def test_a_blocked_broker_slows_the_reading_of_an_upload(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upload is read only a few pages ahead; a lasting alarm interrupts it, and it is continued afterwards."""
    monkeypatch.setattr(upload, "_SEND_TIMEOUT_S", 4.0)
    sent = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal sent
        async for piece in lines(40_000, 1000):
            sent += len(piece)
            yield piece

    async with running_ingest(clean) as harness:
        async with memory_alarm():
            status, problem = await post(harness, counted(), headers=KEY)
            assert (status, problem["code"]) == (503, "broker_unavailable"), problem
            assert sent < 25_000_000  # of 42 MB; most of it lies in the sockets between
            opened = await harness.get("/workloads/squares")
            assert opened[0] == 200
        status, accepted = await post(harness, lines(40_000, 1000), headers=KEY)
        assert (status, accepted["batch_id"], accepted["items"]) == (202, problem["batch_id"], 40_000)
        assert (await harness.wait_for(BatchSealed))[0].total == 40_000
        ((pages,),) = [row.values() for row in await harness.rows("SELECT pages FROM batches")]
        await harness.wait_until(lambda: len({page.page for page in harness.all(ItemsPage)}) == pages)
        assert set(ordinals(harness)) == set(range(40_000))
