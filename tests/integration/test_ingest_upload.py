"""Files of any length: checked while they arrive, in constant memory, and withdrawn whole when something is wrong."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from batchyard_contracts.v1.flow import BatchAccepted, BatchWithdrawn, ItemsPage, ItemsSettled
from services.ingest import upload
from shared.stack import Servers
from tests.support.ingest_process import ingest_process
from tests.support.running_ingest import Around, around, at_work

NDJSON = {"Content-Type": "application/x-ndjson"}


async def lines(number: int, size: int = 100, *, bad: int | None = None) -> AsyncIterator[bytes]:
    """So many items of about `size` bytes, in pieces that end in the middle of a line."""
    note = b"x" * size
    rest = b""
    for start in range(0, number, 100):
        text = rest + b"".join(
            b'{"n": %d, "url": "http://h%d.example/", "note": "%s"}\n' % (-1 if n == bad else n, n % 10, note)
            for n in range(start, min(start + 100, number))
        )
        cut = len(text) - 7
        yield text[:cut]
        rest = text[cut:]
    yield rest


async def post(found: Around, body: Any, query: str = "", headers: dict[str, str] | None = None) -> tuple[int, Any]:
    return await found.post(f"/batches?workload=squares{query}", data=body, headers=NDJSON | (headers or {}))


def ordinals(found: Around) -> list[int]:
    pages = found.all(ItemsPage)
    return sorted(item.ordinal for page in pages for segment in page.segments for item in segment.items)


async def test_a_file_in_constant_memory(clean: Servers, tmp_path: Path) -> None:
    """50,000 lines of 1 KB are 52 MB; they leave no trace of that size in the process that took them."""
    async with ingest_process(clean, tmp_path / "log") as process, around(clean, process.port) as found:
        await found.announce()
        await post(found, lines(2_000, 1000))
        await found.heard(BatchAccepted)
        found.flow.clear()
        before = process.resident_bytes
        status, accepted = await post(found, lines(50_000, 1000))
        assert (status, accepted["items"]) == (202, 50_000)
        assert process.peak_bytes - before < 25_000_000
        (told,) = await found.heard(BatchAccepted)
        assert (told.total, told.batch_id) == (50_000, UUID(accepted["batch_id"]))
        assert isinstance(found.flow[-1], BatchAccepted)
        assert ordinals(found) == list(range(50_000))
        assert [page.page for page in found.all(ItemsPage)] == list(range(len(found.all(ItemsPage))))


@pytest.mark.parametrize(("number", "bad"), [(30_000, 29_998), (100, 50)])
async def test_a_bad_line_takes_everything_back(clean: Servers, number: int, bad: int) -> None:
    async with at_work(clean) as found:
        key = {"Idempotency-Key": "file"}
        status, problem = await post(found, lines(number, bad=bad), headers=key)
        assert (status, problem["code"], problem["line"]) == (422, "item_invalid", bad + 1)
        if number > 1000:
            (withdrawn,) = await found.heard(BatchWithdrawn)
            assert withdrawn.batch_id == found.all(ItemsPage)[0].batch_id
            assert found.flow[-1] == withdrawn
        else:
            assert found.flow == []
        assert found.all(BatchAccepted) == []
        status, accepted = await post(found, lines(number), headers=key)
        assert (status, accepted["replayed"], accepted["items"]) == (202, False, number)
        (told,) = await found.heard(BatchAccepted)
        assert told.batch_id not in {each.batch_id for each in found.all(BatchWithdrawn)}


async def test_a_file_that_breaks_off_is_withdrawn(clean: Servers) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for piece in lines(30_000):
            yield piece
        await found.heard(ItemsPage)
        raise ConnectionError("the client stumbles")

    async with at_work(clean) as found:
        with pytest.raises(aiohttp.ClientError):
            await post(found, broken())
        await found.heard(BatchWithdrawn)
        assert found.all(BatchAccepted) == []
        assert [row["state"] for row in await found.rows("SELECT state FROM batches")] == ["withdrawn"]


async def test_the_same_file_again(clean: Servers) -> None:
    async with at_work(clean) as found:
        for number in (300, 20_000):
            key = {"Idempotency-Key": f"file-{number}"}
            first = await post(found, lines(number), headers=key)
            again = await post(found, lines(number), headers=key)
            assert (first[0], again[0]) == (202, 202)
            assert again[1] == first[1] | {"replayed": True}
            for other in (
                await post(found, lines(number + 1), headers=key),
                await post(found, lines(number), "&priority=low", headers=key),
            ):
                assert (other[0], other[1]["code"]) == (409, "idempotency_conflict")
        await found.heard(BatchAccepted, 2)
        assert len(found.all(BatchAccepted)) == 2


async def test_a_second_attempt_while_the_first_is_under_way(clean: Servers) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        async for piece in lines(20_000):
            yield piece
        started.set()
        await go_on.wait()

    async with at_work(clean) as found:
        key = {"Idempotency-Key": "file"}
        first = asyncio.create_task(post(found, slow(), headers=key))
        await started.wait()
        await found.heard(ItemsPage)
        async with found.http.post(
            f"{found.url}/batches?workload=squares", data=lines(20_000), headers=NDJSON | key
        ) as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["code"]) == (409, "idempotency_in_progress")
            assert response.headers["Retry-After"] == "2"
        go_on.set()
        status, accepted = await first
        assert (status, accepted["items"]) == (202, 20_000)


async def test_a_killed_receiver(clean: Servers, tmp_path: Path) -> None:
    """What it had begun is withdrawn by another process, and the same key starts afresh."""

    async def endless() -> AsyncIterator[bytes]:
        async for piece in lines(20_000):
            yield piece
        await asyncio.Event().wait()

    key = {"Idempotency-Key": "file"}
    async with at_work(clean) as found:
        async with ingest_process(clean, tmp_path / "log") as process, around(clean, process.port) as other:
            doomed = asyncio.create_task(post(other, endless(), headers=key))
            await found.heard(ItemsPage)
            await process.end(signal.SIGKILL)
            with pytest.raises(aiohttp.ClientError):
                await doomed
        assert (await post(found, lines(20_000), headers=key))[1]["code"] == "idempotency_in_progress"
        await found.rows("UPDATE batches SET lease_until = now() - interval '1 s' WHERE state = 'receiving'")
        (withdrawn,) = await found.heard(BatchWithdrawn)
        status, accepted = await post(found, lines(20_000), headers=key)
        assert (status, accepted["replayed"]) == (202, False)
        (told,) = await found.heard(BatchAccepted)
        assert told.batch_id != withdrawn.batch_id


async def test_a_withdrawn_upload_cannot_finish(clean: Servers) -> None:
    """A receiver that stood still for too long must not announce what others were told to forget."""
    withdrawn = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        async for piece in lines(20_000):
            yield piece
        await found.heard(ItemsPage)
        await found.rows("UPDATE batches SET state = 'withdrawn'")
        withdrawn.set()
        yield b'{"n": 1000000}\n'

    async with at_work(clean) as found:
        status, problem = await post(found, stalled())
        assert (status, problem["code"]) == (503, "try_again")
        assert withdrawn.is_set()
        assert found.all(BatchAccepted) == []


async def test_duplicates_far_apart(clean: Servers) -> None:
    async def twice() -> AsyncIterator[bytes]:
        for _ in range(2):
            async for piece in lines(3_000):
                yield piece

    async with at_work(clean) as found:
        status, accepted = await post(found, twice())
        assert (status, accepted["items"]) == (202, 6_000)
        await found.heard(BatchAccepted)
        assert ordinals(found) == list(range(3_000))
        pairs = [(i.ordinal, i.duplicate_of) for settled in found.all(ItemsSettled) for i in settled.items]
        assert pairs == [(n + 3_000, n) for n in range(3_000)]


async def test_wrapped_items_and_spaces(clean: Servers) -> None:
    async with at_work(clean) as found:
        body = (
            b'\xef\xbb\xbf{"payload": {"n": 1}, "custom_id": "a b"}\r\n\r\n  {"n": 2}\r\n{"n": 12345678901234567890123}'
        )
        status, accepted = await post(found, body, "&priority=immediate&name=my%20file")
        assert (status, accepted["items"]) == (202, 3)
        (told,) = await found.heard(BatchAccepted)
        assert (told.priority, told.name) == ("immediate", "my file")
        (page,) = found.all(ItemsPage)
        assert [(i.custom_id, i.payload["n"]) for i in page.segments[0].items] == [
            ("a b", 1),
            (None, 2),
            (None, 12345678901234567890123),
        ]


async def test_csv(clean: Servers) -> None:
    async with at_work(clean) as found:
        body = 'n,custom_id,url,note\r\n1,first,http://ä.example/,"two\nlines, ""quoted"""\r\n2,,,\r\n'
        status, accepted = await found.post(
            "/batches?workload=squares", data=body.encode("utf-8-sig"), headers={"Content-Type": "text/csv"}
        )
        assert (status, accepted["items"]) == (202, 2), accepted
        (page,) = await found.heard(ItemsPage)
        assert {s.partition: [(i.ordinal, i.custom_id, i.payload) for i in s.items] for s in page.segments} == {
            "ä.example": [(0, "first", {"n": 1, "url": "http://ä.example/", "note": 'two\nlines, "quoted"'})],
            "": [(1, None, {"n": 2})],
        }


async def test_too_many_lines(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_ITEMS_PER_BATCH", 15_000)
    async with at_work(clean) as found:
        status, problem = await post(found, lines(20_000))
        assert (status, problem["code"], problem["line"]) == (422, "too_many_items", 15_001)
        await found.heard(BatchWithdrawn)
