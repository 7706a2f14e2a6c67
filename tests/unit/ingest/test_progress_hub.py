"""Progress snapshots for watchers: the latest wins, and nothing goes backwards."""

import asyncio
import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.progress.hub import ProgressHub, Watcher
from shared.redis.client import RedisClient

BATCH = UUID(int=1)


def snapshot(ended: int, *, final: bool = False, round_: int = 1) -> ProgressSnapshot:
    kind = "batch.finished.v1" if final else "batch.progressed.v1"
    return ProgressSnapshot.from_fields({"type": kind, "owner": "me", "round": round_, "counts": {"succeeded": ended}})


async def test_a_slow_watcher_gets_only_the_latest_snapshot() -> None:
    watcher = Watcher()
    for ended in range(100):
        watcher.offer(snapshot(ended))
    assert json.loads((await watcher.next()).body)["counts"]["succeeded"] == 99
    waiting = asyncio.create_task(watcher.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    watcher.offer(snapshot(100))
    assert (await waiting).rank == (1, 0, 100)


async def test_only_a_new_round_follows_the_end() -> None:
    watcher = Watcher()
    watcher.offer(snapshot(10, final=True))
    watcher.offer(snapshot(9))
    assert (await watcher.next()).final
    watcher.offer(snapshot(9))
    watcher.offer(snapshot(0, round_=2))
    assert (await watcher.next()).rank == (2, 0, 0)


@given(st.lists(st.tuples(st.integers(1, 2), st.booleans(), st.integers(0, 5)), min_size=1))
def test_offered_snapshots_never_go_backwards(steps: list[tuple[int, bool, int]]) -> None:
    async def run() -> list[tuple[int, int, int]]:
        watcher, seen = Watcher(), []
        for round_, final, ended in steps:
            watcher.offer(snapshot(ended, final=final, round_=round_))
            try:
                async with asyncio.timeout(0):
                    seen.append((await watcher.next()).rank)
            except TimeoutError:
                continue
        return seen

    seen = asyncio.run(run())
    assert seen == sorted(seen)


async def test_watchers_of_one_batch_do_not_disturb_another() -> None:
    hub = ProgressHub(RedisClient("redis://127.0.0.1:1/0"))
    async with hub.watch("ann", BATCH) as one, hub.watch("ann", BATCH) as two:
        async with hub.watch("bob", UUID(int=2)):
            assert hub.watched_batches() == {"ann": [BATCH], "bob": [UUID(int=2)]}
            assert hub.watcher_count == 3
            hub.publish(BATCH, snapshot(3))
            assert (await one.next()).rank == (await two.next()).rank == (1, 0, 3)
        assert hub.watched_batches() == {"ann": [BATCH]}
    assert (hub.watched_batches(), hub.watcher_count) == ({}, 0)
    await hub.save_snapshots()  # without Redis nothing is saved, and nothing fails
    assert await hub.saved_snapshot(BATCH) is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"batch_id": "x"}', b'{"batch_id": 1, "counts": [], "round": 1}']
)
def test_an_invalid_event_raises(body: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        ProgressSnapshot.from_event("batch.progressed.v1", body)
