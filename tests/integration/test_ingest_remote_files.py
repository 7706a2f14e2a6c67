"""Tests of batches whose items ingest reads itself, from a URL or a bucket: each line is an item, once."""

import gzip
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted, RemoteFiles
from batchyard_contracts.v1.flow import BatchAccepted, BatchSealed, ItemsSettled, SettledItem
from devstack import Servers
from services.ingest.domain import item_validator
from tests.support.file_server import file_server
from tests.support.ingest_process import ingest_process
from tests.support.running_ingest import IngestHarness, connect_harness, running_ingest
from tests.support.s3_server import BUCKET, KEY_ID, SECRET, s3_server
from tests.support.upload_files import ordinals

LOOPBACK = {"remote_files_networks": "127.0.0.0/8"}


def lines(number: int, first: int = 0) -> bytes:
    return b"".join(b'{"n": %d}\n' % n for n in range(first, first + number))


async def submit(harness: IngestHarness, url: str, **options: Any) -> tuple[int, Any]:
    body = {"workload": "squares", "items_from": {"url": url, **options}}
    return await harness.post("/batches", json=body)


async def read(harness: IngestHarness, url: str, **options: Any) -> BatchSealed:
    """Submit files, and wait until they are read."""
    status, accepted = await submit(harness, url, **options)
    assert (status, accepted["items"]) == (202, 0), accepted
    batch_id = UUID(accepted["batch_id"])
    await harness.wait_until(lambda: any(one.batch_id == batch_id for one in harness.all(BatchSealed)))
    return next(one for one in harness.all(BatchSealed) if one.batch_id == batch_id)


def failed(harness: IngestHarness) -> list[SettledItem]:
    """Items that have failed, in their order."""
    return sorted((item for one in harness.all(ItemsSettled) for item in one.items), key=lambda item: item.ordinal)


def numbers(harness: IngestHarness) -> list[int]:
    """Numbers of the items that run, in the order of their ordinals."""
    items = [item for page in harness.pages for segment in page.segments for item in segment.items]
    return [item.payload["n"] for item in sorted(items, key=lambda item: item.ordinal)]


async def test_each_line_of_a_file_is_an_item_that_runs_or_fails(clean: Servers) -> None:
    async with file_server() as server, running_ingest(clean, **LOOPBACK) as harness:
        server.files["/numbers.ndjson"] = lines(3) + b'{"n": -1, "custom_id": "x"}\n\nnothing\n' + lines(2, 10)
        sealed = await read(harness, f"{server.url}/numbers.ndjson?signature=secret")
        (announced,) = harness.all(BatchAccepted)
        assert (announced.total, announced.has_source, sealed.total) == (None, None, 7)
        assert numbers(harness) == [0, 1, 2, 10, 11]
        wrong, malformed = failed(harness)
        assert (wrong.ordinal, wrong.custom_id, malformed.ordinal) == (3, "x", 4)
        assert wrong.error is not None
        assert malformed.error is not None
        assert (wrong.error.code, malformed.error.code) == ("invalid_item", "malformed_json")
        assert wrong.error.message.startswith(f"{server.url}/numbers.ndjson, line 4: ")
        assert malformed.error.message.startswith(f"{server.url}/numbers.ndjson, line 6: ")
        (entry,) = await harness.rows("SELECT after FROM audit WHERE action = 'batch.seal'")
        assert '"accepted": 5' in entry["after"]
        assert '"refused": 2' in entry["after"]
        await harness.until_no_row("SELECT 1 FROM remote_files")


async def test_files_are_submitted_by_amqp_and_once(clean: Servers) -> None:
    async with file_server() as server, running_ingest(clean, **LOOPBACK) as harness:
        server.files["/numbers.csv"] = b"n\n1\n2\n"
        command = BatchSubmit(
            workload="squares", items_from=RemoteFiles(url=f"{server.url}/numbers.csv"), idempotency_key="nightly"
        )
        first, again = await harness.command(command), await harness.command(command)
        assert isinstance(first, CommandAccepted)
        assert isinstance(again, CommandAccepted)
        assert (again.batch_id, again.replayed) == (first.batch_id, True)
        (sealed,) = await harness.wait_for(BatchSealed)
        assert (sealed.total, numbers(harness)) == (2, [1, 2])


async def test_compressed_files_and_redirects_are_followed(clean: Servers) -> None:
    async with file_server() as server, running_ingest(clean, **LOOPBACK) as harness:
        server.files["/numbers.csv.gz"] = gzip.compress(b"n\n1\n2\n3\n")
        server.redirects |= {"/latest": "/next", "/next": f"{server.url}/numbers.csv.gz"}
        server.headers["Content-Type"] = "application/gzip"
        assert (await read(harness, f"{server.url}/numbers.csv.gz")).total == 3
        server.files["/coded"] = gzip.compress(lines(2))
        server.headers |= {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        assert (await read(harness, f"{server.url}/coded")).total == 2
        server.headers.clear()
        server.files["/plain"] = b"n\n7\n"
        server.redirects["/latest"] = f"{server.url}/plain"
        assert (await read(harness, f"{server.url}/latest", format="csv")).total == 1


async def test_addresses_that_are_not_public_are_refused(clean: Servers) -> None:
    async with file_server() as server, running_ingest(clean) as harness:
        server.files["/numbers.csv"] = b"n\n1\n"
        for url in (f"{server.url}/numbers.csv", "http://169.254.169.254/latest", "http://localhost/x.csv"):
            status, problem = await submit(harness, url)
            assert (status, problem["code"]) == (422, "address_refused")
            assert "BATCHYARD_REMOTE_FILES_NETWORKS" in problem["detail"]
        for url in ("http://user:password@example.com/x.csv", "file:///etc/passwd", "ftp://example.com/x.csv"):
            assert (await submit(harness, url))[0] in {400, 422}
        assert server.asked == []


@pytest.mark.parametrize(
    ("set_up", "code"),
    [
        ({"redirects": {"/x.csv": "http://169.254.169.254/latest/x.csv"}}, "address_refused"),
        ({"redirects": {"/x.csv": "/x.csv"}}, "too_many_redirects"),
        ({"redirects": {"/x.csv": "http://user:password@127.0.0.1/x.csv"}}, "address_refused"),
        ({"statuses": {"/x.csv": 403}}, "file_unavailable"),
        ({}, "file_unavailable"),
        ({"files": {"/x.csv": b""}}, "no_items"),
        ({"files": {"/x.csv": b"n\n" + b"1\n" * 2000}}, "file_too_large"),
        ({"files": {"/x.csv": b"\x1f\x8b no"}, "headers": {"Content-Encoding": "gzip"}}, "invalid_encoding"),
        ({"files": {"/x.csv": b"n\n1\n"}, "headers": {"Content-Encoding": "br"}}, "unsupported_encoding"),
    ],
    ids=["to-private", "circle", "password", "forbidden", "missing", "empty", "large", "no-gzip", "brotli"],
)
async def test_a_file_that_cannot_be_read_is_a_failed_item(clean: Servers, set_up: dict[str, Any], code: str) -> None:
    async with file_server() as server, running_ingest(clean, **LOOPBACK, remote_files_max_bytes=2000) as harness:
        for name, value in set_up.items():
            getattr(server, name).update(value)
        sealed = await read(harness, f"{server.url}/x.csv")
        item = failed(harness)[-1]
        assert (item.ordinal, sealed.total) == (sealed.total - 1, sealed.total)
        assert item.error is not None
        assert item.error.code == code
        assert "/x.csv: " in item.error.message or code == "no_items"


async def test_a_file_of_unknown_format_fails(clean: Servers) -> None:
    async with file_server() as server, running_ingest(clean, **LOOPBACK) as harness:
        server.files["/numbers"] = lines(3)
        await read(harness, f"{server.url}/numbers")
        assert [item.error and item.error.code for item in failed(harness)] == ["unknown_format"]


async def test_an_interrupted_file_is_read_on(clean: Servers) -> None:
    async with file_server() as server, running_ingest(clean, **LOOPBACK) as harness:
        content = server.files["/numbers.ndjson"] = lines(5000)
        server.headers["ETag"] = '"one"'
        server.cuts = [len(content) // 2, len(content) * 2 // 3]
        sealed = await read(harness, f"{server.url}/numbers.ndjson")
        assert (sealed.total, numbers(harness)) == (5000, list(range(5000)))
        assert [headers.get("If-Match") for headers in server.asked] == [None, '"one"', '"one"']
        assert failed(harness) == []


@pytest.mark.parametrize("tags", [('"one"', '"two"'), ("", "")], ids=["by-tag", "by-content"])
async def test_a_file_that_changes_is_not_read_on(clean: Servers, tags: tuple[str, str]) -> None:
    async with file_server() as server, running_ingest(clean, **LOOPBACK) as harness:
        content = server.files["/numbers.ndjson"] = lines(5000)
        server.headers |= {"ETag": tags[0]} if tags[0] else {}
        server.cuts = [len(content) // 2]
        status, accepted = await submit(harness, f"{server.url}/numbers.ndjson")
        assert status == 202
        await harness.until_row("SELECT 1 FROM remote_files WHERE (progress ->> 'attempts')::int > 0")
        server.files["/numbers.ndjson"] = lines(5000, 1)
        server.headers |= {"ETag": tags[1]} if tags[1] else {}
        (sealed,) = await harness.wait_for(BatchSealed)
        (item,) = failed(harness)
        assert item.error is not None
        assert item.error.code == "file_changed"
        ran = numbers(harness)
        assert ran == list(range(len(ran)))
        assert sealed.total == len(ran) + 1
        assert UUID(accepted["batch_id"]) == sealed.batch_id


async def test_a_killed_process_loses_and_repeats_no_item(
    clean: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHYARD_REMOTE_FILES_NETWORKS", "127.0.0.0/8")
    async with file_server() as server:
        content = server.files["/numbers.ndjson"] = lines(6000)
        server.headers["ETag"] = '"one"'
        server.hold_after = len(content) // 2
        async with ingest_process(clean, tmp_path / "log") as process, connect_harness(clean, process.port) as harness:
            await harness.announce()
            assert (await submit(harness, f"{server.url}/numbers.ndjson"))[0] == 202
            await harness.wait_until(lambda: len(ordinals(harness)) > 2000)
            await process.end(signal.SIGKILL)
            await harness.rows("UPDATE remote_files SET lease_until = now()")
            server.hold_after = None
            async with ingest_process(clean, tmp_path / "second") as _:
                (sealed,) = await harness.wait_for(BatchSealed)
                assert sealed.total == 6000
                pages = {page.page: page for page in harness.pages}  # one that was just sent is sent again, the same
                segments = [segment for _, page in sorted(pages.items()) for segment in page.segments]
                found = [(item.ordinal, item.payload["n"]) for segment in segments for item in segment.items]
                assert found == [(n, n) for n in range(6000)]
                assert all(page == pages[page.page] for page in harness.pages)


async def test_a_cancelled_batch_reads_no_further(clean: Servers) -> None:
    async with file_server() as server, running_ingest(clean, **LOOPBACK) as harness:
        content = server.files["/numbers.ndjson"] = lines(6000)
        server.hold_after = len(content) // 2
        _, accepted = await submit(harness, f"{server.url}/numbers.ndjson")
        await harness.wait_until(lambda: len(ordinals(harness)) > 2000)
        assert (await harness.post(f"/batches/{accepted['batch_id']}/cancel"))[0] == 202
        (sealed,) = await harness.wait_for(BatchSealed)
        server.released.set()
        await harness.rows("UPDATE remote_files SET lease_until = now()")
        await harness.until_no_row("SELECT 1 FROM remote_files")
        assert sealed.total is not None
        assert len(ordinals(harness)) <= sealed.total < 6000


@pytest.mark.parametrize("more", [0, 1])
async def test_more_items_than_a_batch_may_have_end_it(
    clean: Servers, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_validator, "MAX_ITEMS_PER_BATCH", 1500)
    async with file_server() as server, running_ingest(clean, **LOOPBACK) as harness:
        server.files["/numbers.ndjson"] = lines(1500 + more)
        sealed = await read(harness, f"{server.url}/numbers.ndjson")
        assert (sealed.total, len(numbers(harness))) == (1500, 1500 - more)
        codes = [item.error and item.error.code for item in failed(harness)]
        assert codes == ["too_many_items"] * more


def bucket_settings(url: str, *places: str) -> dict[str, Any]:
    return {
        "remote_files_s3_url": url,
        "remote_files_s3_key_id": KEY_ID,
        "remote_files_s3_secret": SECRET,
        "remote_files_buckets": {"default": set(places)},
    }


async def test_the_objects_below_a_prefix_are_read_in_order(clean: Servers) -> None:
    async with s3_server() as s3, running_ingest(clean, **bucket_settings(s3.url, f"s3://{BUCKET}/in")) as harness:
        s3.objects |= {
            "in/b.csv": ("text/csv", b"n\n3\nx\n"),
            "in/a.ndjson": ("", lines(3)),
            "in/c/d.jsonl.gz": ("", gzip.compress(lines(1, 9))),
            "in/_SUCCESS": ("", b"done"),
            "in/empty.csv": ("", b""),
            "inner/e.csv": ("", b"n\n77\n"),
        }
        sealed = await read(harness, f"s3://{BUCKET}/in/")
        assert (sealed.total, numbers(harness)) == (6, [0, 1, 2, 3, 9])
        (wrong,) = failed(harness)
        assert wrong.error is not None
        assert wrong.error.message.startswith("in/b.csv, line 3: ")
        assert (await read(harness, f"s3://{BUCKET}/in/a.ndjson")).total == 3


async def test_only_places_of_the_owner_are_read(clean: Servers) -> None:
    async with s3_server() as s3:
        async with running_ingest(clean, **bucket_settings(s3.url, f"s3://{BUCKET}/in")) as harness:
            for place in (f"s3://{BUCKET}", f"s3://{BUCKET}/inner", "s3://other/in/a", f"s3://{BUCKET}/in/../a"):
                status, problem = await submit(harness, place)
                assert (status, problem["code"]) == (403, "bucket_refused"), place
        async with running_ingest(clean) as harness:
            assert (await submit(harness, f"s3://{BUCKET}/in"))[0] == 403


async def test_an_object_that_changed_since_it_was_listed_fails(clean: Servers) -> None:
    async with s3_server() as s3, running_ingest(clean, **bucket_settings(s3.url, f"s3://{BUCKET}")) as harness:
        s3.objects |= {"a.csv": ("", b"n\n1\n"), "b.csv": ("", b"n\n2\n")}
        s3.after_list = lambda: s3.objects.update({"b.csv": ("", b"n\n3\n")})
        sealed = await read(harness, f"s3://{BUCKET}")
        assert (sealed.total, numbers(harness)) == (2, [1])
        (item,) = failed(harness)
        assert item.error is not None
        assert (item.error.code, item.error.message.split(":")[0]) == ("file_changed", "b.csv")


async def test_a_submission_is_checked_before_its_files_are_read(clean: Servers) -> None:
    async with file_server() as server, running_ingest(clean, **LOOPBACK) as harness:
        good = {"workload": "squares", "items_from": {"url": f"{server.url}/x.csv"}}
        status, result = await harness.post("/batch-check", json=good)
        assert (status, result["problems"]) == (200, [])
        status, result = await harness.post("/batch-check", json=good | {"items_from": {"url": "s3://a/b"}})
        assert [problem["code"] for problem in result["problems"]] == ["bucket_refused"]
        both = good | {"items": [{"payload": {"n": 1}}]}
        assert (await harness.post("/batches", json=both))[0] in {400, 422}
        assert server.asked == []
