"""Measures how late the event loop runs, so that this process's own delays are not blamed on destinations."""

import asyncio
from collections import deque

_SAMPLE_INTERVAL_S = 0.01
_MIN_DELAY_S = 0.002
"""Delay below which a sample is not recorded."""
_WATCH_S = 1.0
_MAX_DELAYS = 200


class LoopLag:
    """Recent lag of the event loop, sampled for a second after each `watch`."""

    def __init__(self) -> None:
        self._delays: deque[tuple[float, float]] = deque(maxlen=_MAX_DELAYS)
        """Start and end of each interval in which the loop was blocked."""
        self._due_at = 0.0
        self._watch_until = 0.0
        self._watching = False

    def watch(self) -> None:
        """Sample for another second."""
        loop = asyncio.get_running_loop()
        self._watch_until = loop.time() + _WATCH_S
        if not self._watching:
            self._watching = True
            self._schedule(loop)

    def lag_within(self, seconds: float) -> float:
        """Return for how many of the last seconds the loop was blocked."""
        now = asyncio.get_running_loop().time()
        since, lag_s = now - seconds, 0.0
        for began, ended in reversed(self._delays):
            if ended <= since:
                break
            lag_s += ended - max(began, since)
        return lag_s

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_at = loop.time() + _SAMPLE_INTERVAL_S
        loop.call_at(self._due_at, self._sample, loop)

    def _sample(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        if now - self._due_at >= _MIN_DELAY_S:
            self._delays.append((self._due_at, now))
        self._watching = now < self._watch_until
        if self._watching:
            self._schedule(loop)
