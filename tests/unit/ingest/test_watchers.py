"""Frames for those who watch: the newest wins, and nothing goes backwards."""

import asyncio
import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.progress_snapshot import Frame
from services.ingest.progress.hub import Watcher, Watchers
from shared.redis.client import RedisClient

BATCH = UUID(int=1)


def frame(ended: int, *, final: bool = False, round_: int = 1) -> Frame:
    kind = "batch.finished.v1" if final else "batch.progressed.v1"
    return Frame.of_value({"type": kind, "owner": "me", "round": round_, "counts": {"succeeded": ended}})


async def test_a_slow_watcher_gets_the_newest_only() -> None:
    watcher = Watcher()
    for ended in range(100):
        watcher.offer(frame(ended))
    assert json.loads((await watcher.next()).body)["counts"]["succeeded"] == 99
    waiting = asyncio.create_task(watcher.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    watcher.offer(frame(100))
    assert (await waiting).rank == (1, 0, 100)


async def test_nothing_comes_after_the_end_but_a_new_round() -> None:
    watcher = Watcher()
    watcher.offer(frame(10, final=True))
    watcher.offer(frame(9))
    assert (await watcher.next()).final
    watcher.offer(frame(9))
    watcher.offer(frame(0, round_=2))
    assert (await watcher.next()).rank == (2, 0, 0)


@given(st.lists(st.tuples(st.integers(1, 2), st.booleans(), st.integers(0, 5)), min_size=1))
def test_what_is_shown_never_goes_backwards(steps: list[tuple[int, bool, int]]) -> None:
    async def run() -> list[tuple[int, int, int]]:
        watcher, seen = Watcher(), []
        for round_, final, ended in steps:
            watcher.offer(frame(ended, final=final, round_=round_))
            try:
                async with asyncio.timeout(0):
                    seen.append((await watcher.next()).rank)
            except TimeoutError:
                continue
        return seen

    seen = asyncio.run(run())
    assert seen == sorted(seen)


async def test_watchers_of_one_batch_do_not_disturb_another() -> None:
    watchers = Watchers(RedisClient("redis://127.0.0.1:1/0"))
    async with watchers.watch("ann", BATCH) as one, watchers.watch("ann", BATCH) as two:
        async with watchers.watch("bob", UUID(int=2)):
            assert watchers.watched() == {"ann": [BATCH], "bob": [UUID(int=2)]}
            assert watchers.count == 3
            watchers.show(BATCH, frame(3))
            assert (await one.next()).rank == (await two.next()).rank == (1, 0, 3)
        assert watchers.watched() == {"ann": [BATCH]}
    assert (watchers.watched(), watchers.count) == ({}, 0)
    await watchers.save()  # without Redis: nothing is kept, nothing fails
    assert await watchers.snapshot(BATCH) is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"batch_id": "x"}', b'{"batch_id": 1, "counts": [], "round": 1}']
)
def test_what_is_no_event(body: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        Frame.of_event("batch.progressed.v1", body)
