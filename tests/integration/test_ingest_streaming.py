"""Uploads that run while they arrive, are interrupted and continued: every item is sent exactly once."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import aiohttp
import pytest

from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.commands import BatchControl, BatchSeal, CommandAccepted, CommandRejected
from batchyard_contracts.v1.flow import BatchAccepted, BatchSealed, BatchStopped, ItemsPage, ItemsSettled
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply
from devstack import Servers
from services.ingest.domain.limits import PAGE_ITEMS
from services.ingest.maintenance.housekeeping import Housekeeping
from services.ingest.submission import upload
from tests.support.ingest_process import ingest_process
from tests.support.running_ingest import IngestHarness, connect_harness, running_ingest
from tests.support.upload_files import NDJSON, lines, ordinals, post

KEY = {"Idempotency-Key": "file"}


def sent_numbers(harness: IngestHarness) -> dict[int, int]:
    """Return each ordinal with the number in its payload; pages that were sent twice have to be equal."""
    numbers: dict[int, int] = {}
    for page in harness.all(ItemsPage):
        for item in (item for segment in page.segments for item in segment.items):
            assert numbers.setdefault(item.ordinal, item.payload["n"]) == item.payload["n"]
    return numbers


async def wait_until_released(harness: IngestHarness) -> None:
    """Wait until the upload has no receiver any more."""
    await harness.until_no_row("SELECT FROM batches WHERE receiver IS NOT NULL")


async def test_pages_are_sent_before_the_upload_ends(clean: Servers) -> None:
    batch_id = str(new_batch_id())

    async def slow() -> AsyncIterator[bytes]:
        async for piece in lines(12_000):
            yield piece
        (announced,) = await harness.wait_for(BatchAccepted)
        assert (announced.total, str(announced.batch_id)) == (None, batch_id)
        await harness.wait_for(ItemsPage, 10_000 // PAGE_ITEMS)
        assert (await harness.get(f"/batches/{batch_id}"))[1]["status"] == "open"
        assert harness.all(BatchSealed) == []
        yield b'{"n": 12000}\n'

    async with running_ingest(clean) as harness:
        harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[])
        status, accepted = await post(harness, slow(), f"&batch_id={batch_id}")
        assert (status, accepted["items"], accepted["batch_id"]) == (202, 12_001, batch_id)
        (sealed,) = await harness.wait_for(BatchSealed)
        assert sealed.total == 12_001
        assert sent_numbers(harness) == {n: n for n in range(12_001)}


async def test_a_late_invalid_line_keeps_the_items_before_it(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        status, problem = await post(harness, lines(30_000, bad=25_998), headers=KEY)
        assert (status, problem["code"], problem["line"], problem["items"]) == (422, "invalid_item", 25_999, 25_000)
        assert problem["batch_id"] in problem["detail"]
        await harness.wait_until(lambda: len(ordinals(harness)) == 25_000)
        (announced,) = harness.all(BatchAccepted)
        assert (str(announced.batch_id), announced.total) == (problem["batch_id"], None)
        other = await post(harness, lines(30_000, size=101), headers=KEY)
        assert (other[0], other[1]["code"]) == (409, "idempotency_conflict")
        shorter = await post(harness, lines(20_000), headers=KEY)
        assert (shorter[0], shorter[1]["code"]) == (409, "idempotency_conflict")
        assert "25000 items" in shorter[1]["detail"]
        status, accepted = await post(harness, lines(30_000), headers=KEY)
        assert (status, accepted["items"], accepted["batch_id"]) == (202, 30_000, problem["batch_id"])
        (sealed,) = await harness.wait_for(BatchSealed)
        assert (str(sealed.batch_id), sealed.total) == (problem["batch_id"], 30_000)
        assert ordinals(harness) == list(range(30_000))
        again = await post(harness, lines(30_000), headers=KEY)
        assert again == (202, accepted | {"replayed": True})


async def test_an_interrupted_upload_is_completed_by_appends(clean: Servers) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for piece in lines(15_200):
            yield piece
        await harness.wait_for(ItemsPage, 10)
        raise ConnectionError("the client stumbles")

    async with running_ingest(clean) as harness:
        with pytest.raises(aiohttp.ClientError):
            await post(harness, broken(), headers=KEY)
        await harness.wait_until(lambda: len(ordinals(harness)) == 15_000)
        (announced,) = harness.all(BatchAccepted)
        await wait_until_released(harness)
        rest = {"sequence": 0, "items": [{"payload": {"n": n}} for n in range(15_000, 15_100)]}
        status, grown = await harness.post(f"/batches/{announced.batch_id}/items", json=rest)
        assert (status, grown["items"]) == (202, 15_100)
        assert (await harness.post(f"/batches/{announced.batch_id}/seal"))[0] == 202
        assert (await harness.wait_for(BatchSealed))[0].total == 15_100
        assert sent_numbers(harness) == {n: n for n in range(15_100)}
        status, problem = await post(harness, lines(15_200), headers=KEY)
        assert (status, problem["code"]) == (409, "idempotency_conflict")


async def test_another_process_continues_the_upload_of_a_killed_one(clean: Servers, tmp_path: Path) -> None:
    """Pages that the killed process may have sent are sent again as the same pages."""

    async def endless() -> AsyncIterator[bytes]:
        async for piece in lines(40_000):
            yield piece
        await asyncio.Event().wait()

    async with running_ingest(clean) as harness:
        async with ingest_process(clean, tmp_path / "log") as process, connect_harness(clean, process.port) as other:
            doomed = asyncio.create_task(post(other, endless(), headers=KEY))
            await harness.wait_for(ItemsPage, 15)
            await process.end(signal.SIGKILL)
            with pytest.raises(aiohttp.ClientError):
                await doomed
        assert (await post(harness, lines(45_000), headers=KEY))[1]["code"] == "idempotency_in_progress"
        await harness.rows("UPDATE batches SET lease_until = now() - interval '1 s'")
        status, accepted = await post(harness, lines(45_000), headers=KEY)
        assert (status, accepted["items"]) == (202, 45_000)
        (sealed,) = await harness.wait_for(BatchSealed)
        assert sealed.total == 45_000
        assert sent_numbers(harness) == {n: n for n in range(45_000)}
        assert {each.batch_id for each in harness.all(BatchAccepted)} == {UUID(accepted["batch_id"])}


async def test_pages_that_a_dead_receiver_claimed_are_never_replaced(clean: Servers) -> None:
    """The last window was assigned and perhaps not published: other items must not get its ordinals."""
    async with running_ingest(clean) as harness:
        problem = (await post(harness, lines(30_000, bad=25_998), headers=KEY))[1]
        await harness.wait_until(lambda: len(ordinals(harness)) == 25_000)
        await harness.rows(
            "UPDATE batches SET sent_items = 20000, sent_pages = 20, sent_digest = digest, next_sequence = 0"
        )  # as if the last five pages had been lost on their way; the digest of the 20th is not known here …
        batch_id = UUID(problem["batch_id"])
        rejected = await harness.post(f"/batches/{batch_id}/seal")
        assert (rejected[0], rejected[1]["code"]) == (409, "upload_unfinished")
        status, conflict = await post(harness, lines(30_000), headers=KEY)
        assert (status, conflict["code"]) == (409, "idempotency_conflict")  # … so nothing fits it
        answer = await harness.command(BatchControl(batch_id=batch_id, action="cancel"))
        assert isinstance(answer, CommandAccepted)
        assert (await harness.wait_for(BatchSealed))[0].total == 25_000
        settled = [item.ordinal for each in harness.all(ItemsSettled) for item in each.items]
        assert settled == list(range(20_000, 25_000))


async def test_a_cancel_ends_the_upload(clean: Servers) -> None:
    async def slow() -> AsyncIterator[bytes]:
        async for piece in lines(12_000):
            yield piece
        (announced,) = await harness.wait_for(BatchAccepted)
        rejected = await harness.command(BatchSeal(batch_id=announced.batch_id))
        assert isinstance(rejected, CommandRejected)
        assert rejected.code == "upload_in_progress"
        await harness.command(BatchControl(batch_id=announced.batch_id, action="cancel"))
        async for piece in lines(30_000):
            yield piece

    async with running_ingest(clean) as harness:
        status, problem = await post(harness, slow(), headers=KEY)
        assert (status, problem["code"]) == (409, "upload_superseded")
        (sealed,) = await harness.wait_for(BatchSealed)
        assert set(sent_numbers(harness)) <= set(range(sealed.total))


async def test_a_stalled_receiver_loses_its_upload(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "WINDOW_INTERVAL_S", 0.0)
    monkeypatch.setattr(Housekeeping, "INTERVAL_S", 3600.0)  # its lease is not renewed
    go_on = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        async for piece in lines(12_000):
            yield piece
        await go_on.wait()
        async for piece in lines(12_000):
            yield piece

    async with running_ingest(clean) as harness:
        first = asyncio.create_task(post(harness, stalled(), headers=KEY))
        await harness.wait_for(ItemsPage, 10_000 // PAGE_ITEMS)
        await harness.rows("UPDATE batches SET lease_until = now() - interval '1 s'")
        second = await post(harness, lines(20_000), headers=KEY)
        assert (second[0], second[1]["items"]) == (202, 20_000)
        go_on.set()
        status, problem = await first
        assert (status, problem["code"]) == (409, "upload_superseded")
        (sealed,) = await harness.wait_for(BatchSealed)
        assert sealed.total == 20_000
        assert sent_numbers(harness) == {n: n for n in range(20_000)}


async def test_a_batch_that_is_never_sealed_is_stopped_once(clean: Servers) -> None:
    async with running_ingest(clean, unsealed_idle_s=3600) as harness, running_ingest(clean, unsealed_idle_s=3600):
        _, problem = await post(harness, lines(12_000, bad=11_000), headers=KEY)
        body = {"workload": "squares", "items": [{"payload": {"n": 1}}], "sealed": False}
        _, fresh = await harness.post("/batches", json=body)
        await harness.rows(
            "UPDATE batches SET grown_at = now() - interval '3601 s' WHERE batch_id = $1", UUID(problem["batch_id"])
        )
        (stopped,) = await harness.wait_for(BatchStopped)
        (sealed,) = await harness.wait_for(BatchSealed)
        assert (stopped.reason, str(stopped.batch_id), stopped.round) == ("never_sealed", problem["batch_id"], 1)
        assert (sealed.batch_id, sealed.total) == (stopped.batch_id, 10_000)
        rows = await harness.rows("SELECT batch_id, state FROM batches ORDER BY state")
        assert {str(row["batch_id"]): row["state"] for row in rows} == {
            fresh["batch_id"]: "open",
            problem["batch_id"]: "sealed",
        }
        assert (await post(harness, lines(12_000), headers=KEY))[1]["code"] == "idempotency_conflict"
        assert len(harness.all(BatchStopped)) == 1


async def test_a_second_attempt_is_rejected_while_the_first_is_in_progress(clean: Servers) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        async for piece in lines(20_000):
            yield piece
        started.set()
        await go_on.wait()

    async with running_ingest(clean) as harness:
        first = asyncio.create_task(post(harness, slow(), headers=KEY))
        await started.wait()
        await harness.wait_for(ItemsPage)
        async with harness.http.post(
            f"{harness.url}/batches?workload=squares", data=lines(20_000), headers=NDJSON | KEY
        ) as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["code"]) == (409, "idempotency_in_progress")
            assert response.headers["Retry-After"] == "2"
        go_on.set()
        status, accepted = await first
        assert (status, accepted["items"]) == (202, 20_000)
