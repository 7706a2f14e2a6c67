"""A reader of remote files keeps the last item that a batch may have for what it has to say at the end."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.ingest.domain.rejection import Rejection
from services.ingest.domain.remote_file import ReadingProgress, RemoteFile
from services.ingest.remote_files.batch_reader import BatchReader

MOST = 10


class Validator:
    """Validator of a workload whose batches have at most `MOST` items."""

    def check_count(self, items: int) -> Rejection | None:
        return None if items <= MOST else Rejection("too_many_items", "A batch has at most 10 items.")


@pytest.mark.parametrize(("items", "files", "is_last"), [(3, 2, False), (3, 1, True), (MOST - 1, 2, True)])
async def test_a_file_that_fails_for_good_leaves_room_for_the_next(
    monkeypatch: pytest.MonkeyPatch, items: int, files: int, is_last: bool
) -> None:
    names = tuple(RemoteFile(name=f"{number}.csv") for number in range(files))
    job: Any = SimpleNamespace(progress=ReadingProgress(), files=names, form=SimpleNamespace(url="s3://bucket/"))
    parts = dict.fromkeys(("files", "batches", "outbox", "dedup_index", "backpressure"), cast("Any", None))
    header: Any = SimpleNamespace(items=items)
    workload: Any = SimpleNamespace(validator=Validator())
    reader = BatchReader(job, header, workload, cast("Any", None), **parts, max_bytes=1, read_until=datetime.now(UTC))
    committed: list[tuple[int, bool, str]] = []

    async def commit(*, is_last: bool = False) -> None:
        (failed,) = reader._invalid
        assert failed.error
        committed.append((reader._items, is_last, failed.error.code))

    monkeypatch.setattr(reader, "_commit", commit)
    await reader.give_up("file_unavailable", "It is away.")
    is_full = items == MOST - 1
    assert committed == [(items + 1, is_last, "too_many_items" if is_full else "file_unavailable")]
