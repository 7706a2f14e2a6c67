"""Clips in a bucket and in a folder: whole under their name, or not there at all."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from batchyard_contracts.workload import Permanent, Transient
from services.worker.workloads.videos.artefacts.store import ClipStore, Measured, open_store
from services.worker.workloads.videos.download import keep
from services.worker.workloads.videos.settings import VideosSettings
from tests.support.s3_server import BUCKET, KEY_ID, SECRET, S3Server, s3_server

HEAD = b"\0\0\0\x20ftypisom\0\0\0\0"
LARGE = HEAD + bytes(range(256)) * (12 * 4096)
"""More than one part of an upload."""


async def parts(file: bytes, size: int = 1024 * 1024) -> AsyncIterator[bytes]:
    for start in range(0, len(file), size):
        yield file[start : start + size]


async def breaking(file: bytes) -> AsyncIterator[bytes]:
    async for part in parts(file):
        yield part
    raise Transient("download_interrupted")


@pytest.fixture
async def s3() -> AsyncIterator[S3Server]:
    async with s3_server() as server:
        yield server


def bucket(server: S3Server, **more: Any) -> ClipStore:
    given = {"store": f"s3://{BUCKET}/a/b", "s3_url": server.url, "s3_key_id": KEY_ID, "s3_secret": SECRET}
    return open_store(VideosSettings.model_validate({**given, **more}))


@pytest.mark.parametrize("file", [HEAD, LARGE], ids=["one put", "in parts"])
async def test_a_file_is_kept_in_a_bucket(s3: S3Server, file: bytes) -> None:
    kept = await keep(parts(file), bucket(s3), "batch/0-1", 2**30)
    assert kept.uri == f"s3://{BUCKET}/a/b/batch/0-1.mp4"
    assert s3.objects == {"a/b/batch/0-1.mp4": ("video/mp4", file)}
    assert (kept.bytes, kept.sha256) == (len(file), hashlib.sha256(file).hexdigest())
    assert not s3.begun


async def test_a_broken_download_leaves_no_object(s3: S3Server) -> None:
    with pytest.raises(Transient, match="download_interrupted"):
        await keep(breaking(LARGE), bucket(s3), "batch/0-1", 2**30)
    assert not s3.objects


async def test_a_refusal_of_a_bucket_is_the_error_of_the_item(s3: S3Server) -> None:
    for refused in (bucket(s3, s3_secret=SECRET[::-1]), bucket(s3, store="s3://nobody")):
        with pytest.raises(Permanent) as caught:
            await keep(parts(HEAD), refused, "batch/0-1", 2**30)
        assert (caught.value.code, caught.value.scope) == ("store_refused", "provider")
        assert SECRET[::-1] not in caught.value.message


async def test_a_store_that_is_away() -> None:
    async with s3_server() as gone:
        pass
    with pytest.raises(Transient) as caught:
        await keep(parts(HEAD), bucket(gone), "batch/0-1", 2**30)
    assert caught.value.code == "store_failed"


async def test_a_folder_keeps_the_last_whole_file(tmp_path: Path) -> None:
    folder = open_store(VideosSettings.model_validate({"store": str(tmp_path / "videos")}))
    first = await keep(parts(LARGE), folder, "batch/0-1", 2**30)
    with pytest.raises(Transient):
        await keep(breaking(LARGE), folder, "batch/0-1", 2**30)
    with pytest.raises(Permanent, match="more than"):
        await keep(parts(LARGE), folder, "batch/0-1", len(LARGE) - 1)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]  # noqa: ASYNC240
    assert [path.as_uri() for path in files] == [first.uri]
    assert files[0].read_bytes() == LARGE


async def test_a_measured_stream_has_its_size_and_digest() -> None:
    measured = Measured(parts(b"abc", 1), 3)
    assert [part async for part in measured] == [b"a", b"b", b"c"]
    assert (measured.bytes, measured.sha256) == (3, hashlib.sha256(b"abc").hexdigest())
