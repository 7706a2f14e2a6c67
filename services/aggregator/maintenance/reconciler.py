"""The second line: derives the counters of quiet batches from their rows, mends what disagrees, ends what should end.

Nothing of this should ever be needed; every line it logs as a warning is a defect found elsewhere.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import structlog

from services.aggregator.persistence.store import Store
from services.aggregator.publishing.batch_changes import Telling, endings
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_AT_MOST = 1000
_BEAT_S = 5.0


class Reconciler:
    """Looks at every unfinished batch once after it has become quiet, and then once an hour."""

    def __init__(
        self,
        store: Store,
        telling: Telling,
        pulse: Pulse,
        clock: Callable[[], datetime],
        *,
        every_s: float,
        quiet_s: float,
    ) -> None:
        self._store = store
        self._telling = telling
        self._pulse = pulse
        self._clock = clock
        self._every_s = every_s
        self._quiet_s = quiet_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Reconcile now and then, until `stop`."""
        clock = asyncio.get_running_loop().time
        due = clock() + self._every_s
        while not self._stopping.is_set():
            self._pulse.beat()
            if clock() >= due:
                await self._attempt()
                due = clock() + self._every_s
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_BEAT_S, due - clock())):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

    async def reconcile(self) -> int:
        """Check the batches that are due; returns how many had to be mended."""
        mended = 0
        for _ in range(_AT_MOST):
            outcome = await self._next()
            if outcome is None or self._stopping.is_set():
                break
            mended += outcome
            self._pulse.beat()
        await self._store.forget_sent()
        return mended

    async def _attempt(self) -> None:
        try:
            await self.reconcile()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("reconciling later", error=f"{type(error).__name__}: {error}")

    async def _next(self) -> bool | None:
        """Check one batch: whether it was wrong; None if none is due."""
        async with self._store.locked_quiet(self._quiet_s) as work:
            before = next(iter(work.batches.values()), None)
            if before is None:
                return None
            counted = await work.count(before)
            after = before.corrected(counted).conclude(self._clock())
            await work.mark_checked(before)
            if after == before:
                return False
            log.warning(
                "ledger mended",
                batch_id=str(before.batch_id),
                counted=str(counted),
                counters=str(before.tally),
                finished=after.finished,
            )
            await work.save([after])
            saved = await work.post(endings([after]))
        self._telling.announce([after], saved)
        return True
