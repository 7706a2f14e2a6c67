"""Submitter of a peer: reads requests as lines of JSON, runs them, and writes their results.

It runs in the peer's own environment, and therefore uses only the standard library.
"""

import json
import os
import sys
import time
from collections.abc import Awaitable, Callable

AMQP_URL = os.environ.get("BENCH_AMQP_URL", "")
DATABASE_URL = os.environ.get("BENCH_DATABASE_URL", "")
REDIS_URL = os.environ.get("BENCH_REDIS_URL", "")
QUEUE = os.environ.get("BENCH_QUEUE", "bench")
CHUNK = int(os.environ.get("BENCH_CHUNK", "100"))
VARIANT = os.environ.get("BENCH_VARIANT", "")
NAP_S = 0.05
READY = "READY"
ANSWER = "ANSWER "


class Clock:
    """Start, submission and end of one work."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.submitted_at = self.ended_at = self.began

    def mark_submitted(self) -> None:
        """Record that everything is submitted."""
        self.submitted_at = time.perf_counter()

    def mark_ended(self) -> None:
        """Record that the completion is known."""
        self.ended_at = time.perf_counter()


Ran = tuple[Clock, int, int]
"""A work that has ended: its clock, the number of results, and their sum."""


def serve(batch: Callable[[str, int], Ran], batches: Callable[[int, int], Ran] | None = None) -> None:
    """Serve a submitter whose `batch(kind, items)` blocks; `batches(number, items)` runs many small ones together."""
    _say(READY)
    while line := sys.stdin.readline():
        asked = json.loads(line)
        if batches is not None and asked["batches"] > 1:
            _answer([batches(asked["batches"], asked["items"]) for _ in range(asked["times"])])
        else:
            _answer([batch(asked["kind"], asked["items"]) for _ in range(asked["times"])])


async def serve_async(
    batch: Callable[[str, int], Awaitable[Ran]], batches: Callable[[int, int], Awaitable[Ran]] | None = None
) -> None:
    """Serve a submitter like `serve`, with coroutine functions; nothing else runs between two works."""
    _say(READY)
    while line := sys.stdin.readline():
        asked = json.loads(line)
        if batches is not None and asked["batches"] > 1:
            _answer([await batches(asked["batches"], asked["items"]) for _ in range(asked["times"])])
        else:
            _answer([await batch(asked["kind"], asked["items"]) for _ in range(asked["times"])])


def _answer(done: list[Ran]) -> None:
    runs = [
        {
            "seconds": clock.ended_at - clock.began,
            "submit_s": clock.submitted_at - clock.began,
            "count": count,
            "sum": total,
        }
        for clock, count, total in done
    ]
    _say(ANSWER + json.dumps(runs))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
