"""Large results in a folder and in a bucket: one file for equal ones of a batch, read whole or not at all."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from batchyard_contracts.json_depth import is_deeper
from batchyard_contracts.v1.values import MAX_RESULT_BYTES, MAX_RESULT_DEPTH, StoredResult
from shared.artefacts.results import ResultsAway, ResultStore
from shared.artefacts.store import FileLost, StorePlace, open_store
from shared.runtime.errors import ConfigurationError
from tests.support.s3_server import BUCKET, KEY_ID, SECRET, s3_server

BATCH, OTHER = UUID(int=1), UUID(int=2)
LARGE = b'{"text":"' + b"x" * 1_000_000 + b'"}'


@pytest.fixture(params=["folder", "bucket"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StorePlace]:
    if request.param == "folder":
        yield StorePlace(str(tmp_path / "store"))
    else:
        async with s3_server() as server:
            yield StorePlace(f"s3://{BUCKET}/a", server.url, KEY_ID, SecretStr(SECRET))


def opened(place: StorePlace) -> ResultStore:
    store = ResultStore.open(place)
    assert store is not None
    return store


async def kept(store: ResultStore, batch_id: UUID, result: bytes) -> StoredResult:
    reference = await store.keep(batch_id, result)
    assert reference is not None
    return reference


async def test_equal_results_of_a_batch_are_one_file_that_goes_with_the_batch(place: StorePlace) -> None:
    store = opened(place)
    first, again, other = [await kept(store, batch_id, LARGE) for batch_id in (BATCH, BATCH, OTHER)]
    assert first == again == other == StoredResult(sha256=hashlib.sha256(LARGE).hexdigest(), bytes=len(LARGE))
    second = await kept(store, BATCH, b'"a second one"')
    assert await store.read(BATCH, [first, second]) == {first: LARGE, second: b'"a second one"'}
    assert [await store.delete(BATCH, most) for most in (1, 10, 10)] == [1, 1, 0]
    assert await store.read(BATCH, [first]) == {first: None}
    assert await store.read(OTHER, [other]) == {other: LARGE}


async def test_a_file_that_is_not_what_was_stored_counts_as_lost(place: StorePlace) -> None:
    store, files = opened(place), open_store(place)

    async def content(text: bytes) -> AsyncIterator[bytes]:
        yield text

    reference = await kept(store, BATCH, b'{"n":1}')
    for damaged in (b'{"n":2}', b'{"n"'):
        await files.keep(f"{BATCH}/{reference.sha256}", content(damaged), "")
        assert await store.read(BATCH, [reference]) == {reference: None}
    for unreadable in (b'{"n":', b"NaN", b"[" * 150 + b"]" * 150):  # of a worker that stores by itself
        own = StoredResult(sha256=hashlib.sha256(unreadable).hexdigest(), bytes=len(unreadable))
        await files.keep(f"{BATCH}/{own.sha256}", content(unreadable), "")
        assert await store.read(BATCH, [own]) == {own: None}


async def test_nothing_is_stored_that_nobody_could_read(place: StorePlace) -> None:
    store = opened(place)
    for unreadable in (b'"' + b"x" * MAX_RESULT_BYTES + b'"', b"[" * 129 + b"]" * 129):
        assert await store.keep(BATCH, unreadable) is None
    assert await store.delete(BATCH, 10) == 0
    assert not is_deeper(b"[" * MAX_RESULT_DEPTH + b"]" * MAX_RESULT_DEPTH, MAX_RESULT_DEPTH)


async def test_a_store_that_is_away_has_lost_nothing(tmp_path: Path) -> None:
    store = opened(StorePlace(str(tmp_path / "store")))
    reference = await kept(store, BATCH, b"1")
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    with pytest.raises(ResultsAway, match="try again"):
        await store.read(BATCH, [reference])
    with pytest.raises(ResultsAway, match="try again"):
        await store.delete(BATCH, 10)
    for bucket in ("absent", BUCKET):
        async with s3_server() as server:
            wrong = StorePlace(f"s3://{bucket}", server.url, KEY_ID, SecretStr(SECRET if bucket == "absent" else "x"))
            with pytest.raises(ResultsAway):
                await opened(wrong).read(BATCH, [reference])
            with pytest.raises(ResultsAway):
                await opened(wrong).delete(BATCH, 10)


def test_without_a_place_there_is_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ResultStore.open(StorePlace("")) is None
    monkeypatch.setattr("shared.artefacts.results.fault_of", lambda _: "names a bucket: install batchyard[s3]")
    with pytest.raises(ConfigurationError, match=r"BATCHYARD_RESULTS_STORE names a bucket: install batchyard\[s3\]"):
        ResultStore.open(StorePlace("s3://name"))


async def test_a_missing_file_is_told_from_a_store_that_is_away(place: StorePlace) -> None:
    await kept(opened(place), BATCH, b"1")
    files = open_store(place)
    with pytest.raises(FileLost):
        _ = [piece async for piece in files.read("x/absent", 0, 1)]
    assert await files.names("absent", 5) == []
