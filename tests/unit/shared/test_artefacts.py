"""Files in a folder and in a bucket: written whole, read in parts, deleted once or twice."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.artefacts.folder import FolderStore
from shared.artefacts.store import (
    ArtefactStore,
    FileLost,
    StoreFailed,
    StorePlace,
    StoreRefused,
    check_place,
    fault_of,
    open_store,
)
from tests.support.s3_server import BUCKET, KEY_ID, SECRET, s3_server

LARGE = bytes(range(256)) * (10 * 4096)


async def parts(file: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(file), 1024 * 1024):
        yield file[start : start + 1024 * 1024]


@pytest.fixture(params=["folder", "bucket"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ArtefactStore]:
    if request.param == "folder":
        yield open_store(StorePlace(str(tmp_path / "store")))
    else:
        async with s3_server() as server:
            yield open_store(StorePlace(f"s3://{BUCKET}/a", server.url, KEY_ID, SecretStr(SECRET)))


async def test_a_file_is_read_in_parts_and_deleted(store: ArtefactStore) -> None:
    uri = await store.keep("x/y.bin", parts(LARGE), "application/octet-stream")
    assert uri.endswith("/x/y.bin")
    await store.keep("x/z.bin", parts(b"z"), "text/plain")
    for start, end in ((0, len(LARGE)), (7, 8), (1024 * 1024 - 1, 1024 * 1024 + 1), (5, 5)):
        assert b"".join([piece async for piece in store.read("x/y.bin", start, end)]) == LARGE[start:end]
    await store.delete(["x/y.bin", "x/absent.bin"])
    with pytest.raises((StoreFailed, StoreRefused)):
        _ = [piece async for piece in store.read("x/y.bin", 0, 1)]
    assert [piece async for piece in store.read("x/z.bin", 0, 1)] == [b"z"]
    await store.delete(["x/z.bin"])


async def test_a_folder_that_becomes_empty_is_deleted(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    await store.keep("a/b/c.bin", parts(b"c"), "")
    await store.delete(["a/b/c.bin", "a/b/d.bin"])
    assert [path.name for path in tmp_path.rglob("*")] == ["store"]  # noqa: ASYNC240


async def test_a_file_that_was_cut_is_no_file(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    await store.keep("a.bin", parts(b"abc"), "")
    (tmp_path / "a.bin").write_bytes(b"ab")
    with pytest.raises(FileLost, match="shorter"):
        _ = [piece async for piece in store.read("a.bin", 0, 3)]


def test_a_place_is_a_folder_or_a_bucket(tmp_path: Path) -> None:
    assert check_place("s3://name/prefix") == "s3://name/prefix"
    for wrong in ("s3://", "http://example.org", "ftp://x/y"):
        with pytest.raises(ValueError, match="neither"):
            check_place(wrong)
    (tmp_path / "file").write_bytes(b"")
    assert fault_of(StorePlace(str(tmp_path / "new" / "folder"))) is None
    assert "cannot be written" in str(fault_of(StorePlace(str(tmp_path / "file" / "folder"))))
    assert fault_of(StorePlace("s3://name")) is None
