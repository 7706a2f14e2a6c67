"""Measures how late this process does what it should do now, so that its own delays are not taken for others'."""

import asyncio
from collections import deque

_EVERY_S = 0.01
_LEAST_S = 0.002
"""Less is nothing to speak of."""
_WATCHED_S = 1.0
_KEPT = 200


class Lateness:
    """Of the event loop, watched as long as somebody cares."""

    def __init__(self) -> None:
        self._late: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        """From when until when nothing could run."""
        self._due = 0.0
        self._until = 0.0
        self._watching = False

    def watch(self) -> None:
        """Go on watching for a while."""
        loop = asyncio.get_running_loop()
        self._until = loop.time() + _WATCHED_S
        if not self._watching:
            self._watching = True
            self._arm(loop)

    def within(self, seconds: float) -> float:
        """How many of the last seconds it was late."""
        now = asyncio.get_running_loop().time()
        since, late = now - seconds, 0.0
        for began, ended in reversed(self._late):
            if ended <= since:
                break
            late += ended - max(began, since)
        return late

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + _EVERY_S
        loop.call_at(self._due, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        if now - self._due >= _LEAST_S:
            self._late.append((self._due, now))
        self._watching = now < self._until
        if self._watching:
            self._arm(loop)
