"""Shares of owners, depths of queues, and lines of a body."""

from collections.abc import AsyncIterator

from benchmarks.batchyard import lines
from benchmarks.scale.depth import Depths
from benchmarks.scale.fairness import shared


def test_the_share_counts_what_ended_from_the_first_to_the_last_of_the_small_one() -> None:
    found = shared(10.0, small=[12.0, 11.0], big=[9.0, 10.5, 11.25, 11.5, 12.5])
    assert (found.share, found.first_s, found.last_s) == (0.5, 1.0, 2.0)


def test_an_owner_who_is_alone_has_everything() -> None:
    assert shared(0.0, [1.0, 2.0], [0.5, 3.0]).share == 1.0


def test_the_deepest_of_each_queue_and_of_one_moment_are_kept() -> None:
    depths = Depths()
    for now in ({"a": 3, "b": 0}, {"a": 1, "b": 1}, {"a": 0, "b": 2}):
        depths.look(now)
    assert (depths.together, depths.deepest, depths.looks) == (3, {"a": 3, "b": 2}, 3)


async def test_lines_are_put_together_from_pieces() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"on", b"e\ntwo\nth", b"", b"ree"):
            yield piece

    assert [line async for line in lines(pieces())] == [b"one", b"two", b"three"]
