"""Uploads of any length: validated while they arrive, in constant memory, and sent before they end."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from batchyard_contracts.v1.flow import BatchAccepted, BatchSealed, ItemsPage, ItemsSettled
from devstack import Servers
from services.ingest.domain import item_validator
from tests.support.ingest_process import ingest_process
from tests.support.running_ingest import connect_harness, running_ingest
from tests.support.upload_files import lines, ordinals, post


async def test_an_upload_takes_constant_memory(clean: Servers, tmp_path: Path) -> None:
    """The memory of the process does not grow by the 52 MB of 50,000 lines of 1 KB."""
    async with ingest_process(clean, tmp_path / "log") as process, connect_harness(clean, process.port) as harness:
        await harness.announce()
        await post(harness, lines(2_000, 1000))
        await harness.wait_for(BatchAccepted)
        harness.flow.clear()
        before = process.resident_bytes
        status, accepted = await post(harness, lines(50_000, 1000))
        assert (status, accepted["items"]) == (202, 50_000)
        assert process.peak_bytes - before < 25_000_000
        (announced,) = await harness.wait_for(BatchAccepted)
        assert (announced.total, announced.batch_id) == (None, UUID(accepted["batch_id"]))
        (sealed,) = await harness.wait_for(BatchSealed)
        assert (sealed.total, sealed.batch_id) == (50_000, announced.batch_id)
        assert isinstance(harness.flow[0], BatchAccepted)
        assert ordinals(harness) == list(range(50_000))
        assert [page.page for page in harness.all(ItemsPage)] == list(range(len(harness.all(ItemsPage))))


@pytest.mark.parametrize("bad", [50, 10_000])
async def test_an_early_invalid_line_rejects_the_whole_upload(clean: Servers, bad: int) -> None:
    async with running_ingest(clean) as harness:
        key = {"Idempotency-Key": "file"}
        status, problem = await post(harness, lines(10_500, bad=bad), headers=key)
        assert (status, problem["code"], problem["line"]) == (422, "invalid_item", bad + 1)
        assert "batch_id" not in problem
        assert harness.flow == []
        status, accepted = await post(harness, lines(300), headers=key)
        assert (status, accepted["replayed"], accepted["items"]) == (202, False, 300)


async def test_a_repeated_upload_is_the_same_batch(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        for number in (300, 20_000):
            key = {"Idempotency-Key": f"file-{number}"}
            first = await post(harness, lines(number), headers=key)
            again = await post(harness, lines(number), headers=key)
            assert (first[0], again[0]) == (202, 202)
            assert again[1] == first[1] | {"replayed": True}
            for other in (
                await post(harness, lines(number + 1), headers=key),
                await post(harness, lines(number), "&priority=low", headers=key),
            ):
                assert (other[0], other[1]["code"]) == (409, "idempotency_conflict")
        await harness.wait_for(BatchAccepted, 2)
        assert len(harness.all(BatchAccepted)) == 2


async def test_duplicates_on_different_pages_are_found(clean: Servers) -> None:
    async def twice() -> AsyncIterator[bytes]:
        for _ in range(2):
            async for piece in lines(3_000):
                yield piece

    async with running_ingest(clean) as harness:
        status, accepted = await post(harness, twice())
        assert (status, accepted["items"]) == (202, 6_000)
        await harness.wait_for(BatchAccepted)
        assert ordinals(harness) == list(range(3_000))
        pairs = [(i.ordinal, i.duplicate_of) for settled in harness.all(ItemsSettled) for i in settled.items]
        assert pairs == [(n + 3_000, n) for n in range(3_000)]


async def test_wrapped_items_and_spaces_are_accepted(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        body = (
            b'\xef\xbb\xbf{"payload": {"n": 1}, "custom_id": "a b"}\r\n\r\n  {"n": 2}\r\n{"n": 12345678901234567890123}'
        )
        status, accepted = await post(harness, body, "&priority=immediate&name=my%20file")
        assert (status, accepted["items"]) == (202, 3)
        (announced,) = await harness.wait_for(BatchAccepted)
        assert (announced.priority, announced.name) == ("immediate", "my file")
        (page,) = harness.pages
        assert [(i.custom_id, i.payload["n"]) for i in page.segments[0].items] == [
            ("a b", 1),
            (None, 2),
            (None, 12345678901234567890123),
        ]


async def test_a_csv_file_is_accepted(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        body = 'n,custom_id,url,note\r\n1,first,http://ä.example/,"two\nlines, ""quoted"""\r\n2,,,\r\n'
        status, accepted = await harness.post(
            "/batches?workload=squares", data=body.encode("utf-8-sig"), headers={"Content-Type": "text/csv"}
        )
        assert (status, accepted["items"]) == (202, 2), accepted
        await harness.wait_for(BatchAccepted)
        (page,) = harness.pages
        assert {s.partition: [(i.ordinal, i.custom_id, i.payload) for i in s.items] for s in page.segments} == {
            "ä.example": [(0, "first", {"n": 1, "url": "http://ä.example/", "note": 'two\nlines, "quoted"'})],
            "": [(1, None, {"n": 2})],
        }


async def test_an_upload_with_too_many_items_is_rejected(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_validator, "MAX_ITEMS_PER_BATCH", 15_000)
    async with running_ingest(clean) as harness:
        status, problem = await post(harness, lines(20_000))
        assert (status, problem["code"], problem["line"]) == (422, "too_many_items", 15_001)
        assert problem["items"] == 14_000
