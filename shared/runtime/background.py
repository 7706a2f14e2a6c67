"""Background tasks of a service: a step that is repeated until the service stops, and that no exception ends.

An error of the step is logged with its trace if it is a defect, counted, and followed by a growing pause. A step that
fails for `UNREADY_AFTER_S` makes `/readyz` fail until it succeeds again. A step that meets something it can never
handle has to set it aside, or else it meets the same thing at every attempt.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from shared.observability import metrics
from shared.runtime.health import Pulse
from shared.runtime.transient import advice_on, is_transient

log = structlog.get_logger()
UNREADY_AFTER_S = 60.0
"""Time in seconds during which a step may fail before the service counts as not ready."""
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 0.1, 5.0
_BEAT_S = 5.0
"""Longest time between two beats of the pulse while a task waits, in seconds."""
_errors = metrics.counter("batchyard.background.errors", "Failed steps of background tasks, by task.")

Step = Callable[[], Awaitable[float | None]]


class BackgroundTask:
    """Repetition of a step. The step returns the pause until the next one in seconds (0: at once), None: `interval_s`.

    `wake`: an event that ends the pause. `delay_s`: pause before the first step. `on_stop` runs once, after the last
    step. `ends_on_error`: `run` raises an error of the step, for a step that may leave the memory inconsistent, so that
    its owner starts over. `tolerates_outages`: transient errors do not make the service unready, for a step without
    which it serves requests all the same. `is_optional`: no error does, for a step that nothing else needs.
    """

    def __init__(
        self,
        pulse: Pulse,
        step: Step,
        *,
        interval_s: float,
        wake: asyncio.Event | None = None,
        delay_s: float = 0.0,
        on_stop: Callable[[], Awaitable[None]] | None = None,
        ends_on_error: bool = False,
        tolerates_outages: bool = False,
        is_optional: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = pulse.name
        self._pulse = pulse
        self._step = step
        self._interval_s = interval_s
        self._wake = wake or asyncio.Event()
        self._delay_s = delay_s
        self._on_stop = on_stop
        self._ends_on_error = ends_on_error
        self._tolerates_outages = tolerates_outages
        self._is_optional = is_optional
        self._clock = clock
        self._stopping = asyncio.Event()
        self._failures = 0
        self._failing_since: float | None = None

    @property
    def is_working(self) -> bool:
        """False when every step of the last `UNREADY_AFTER_S` seconds failed."""
        return self._failing_since is None or self._clock() - self._failing_since < UNREADY_AFTER_S

    async def run(self) -> None:
        """Repeat the step until `stop`."""
        try:
            await self._pause(self._delay_s, self._stopping)
            while not self._stopping.is_set():
                self._pulse.beat()
                self._wake.clear()
                try:
                    pause_s = await self._step()
                except Exception as error:
                    if self._ends_on_error:
                        raise
                    await self._pause(self._record_failure(error), self._stopping)
                else:
                    self._record_success()
                    await self._pause(self._interval_s if pause_s is None else pause_s, self._wake)
        finally:
            self._pulse.stop()
            self._record_success()  # a task that has ended makes no service unready
            if self._on_stop is not None:
                await self._on_stop()

    def stop(self) -> None:
        """Make `run` return after the current step."""
        self._stopping.set()
        self._wake.set()

    def _record_success(self) -> None:
        self._failures, self._failing_since = 0, None

    def _record_failure(self, error: Exception) -> float:
        """Count and log a failure; return the pause until the next step in seconds."""
        self._failures += 1
        if self._is_optional or (self._tolerates_outages and is_transient(error)):
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = self._clock()
        _errors.add(1, {"task": self.name})
        backoff_s: float = min(_MAX_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** min(self._failures - 1, 10))
        advice = advice_on(error)
        write = log.warning if is_transient(error) and not advice else log.error
        write(
            "background task failed",
            task=self.name,
            failures=self._failures,
            pause_s=backoff_s,
            error=f"{type(error).__name__}: {error}"[:300],
            exc_info=None if is_transient(error) else error,
            **({"advice": advice} if advice else {}),
        )
        return backoff_s

    async def _pause(self, pause_s: float, until: asyncio.Event) -> None:
        """Wait for an event, at most `pause_s` seconds, and beat the pulse meanwhile. Others run in any case."""
        await asyncio.sleep(0)
        clock = asyncio.get_running_loop().time
        deadline = clock() + pause_s
        while (left_s := deadline - clock()) > 0 and not (until.is_set() or self._stopping.is_set()):
            self._pulse.beat()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, _BEAT_S)):
                    await until.wait()
