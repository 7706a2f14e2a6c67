"""Recounts idle batches from their rows, repairs counters that differ, and finishes rounds that should have ended.

None of this should ever be needed: each warning that it logs points to a defect elsewhere.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import structlog

from services.aggregator.persistence.store import LedgerStore
from services.aggregator.publishing.batch_changes import BatchChangePublisher, finished_messages
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_MAX_BATCHES_PER_RUN = 1000
_MAX_WAIT_S = 5.0


class Reconciler:
    """Periodic check of every unfinished batch, once after it has become idle and then once an hour."""

    def __init__(
        self,
        store: LedgerStore,
        batch_changes: BatchChangePublisher,
        pulse: Pulse,
        clock: Callable[[], datetime],
        *,
        interval_s: float,
        idle_s: float,
    ) -> None:
        self._store = store
        self._batch_changes = batch_changes
        self._pulse = pulse
        self._clock = clock
        self._interval_s = interval_s
        self._idle_s = idle_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Reconcile periodically until `stop`."""
        clock = asyncio.get_running_loop().time
        due = clock() + self._interval_s
        while not self._stopping.is_set():
            self._pulse.beat()
            if clock() >= due:
                await self._try_reconcile()
                due = clock() + self._interval_s
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_MAX_WAIT_S, due - clock())):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

    async def reconcile(self) -> int:
        """Check the batches that are due; return how many were repaired."""
        repaired = 0
        for _ in range(_MAX_BATCHES_PER_RUN):
            outcome = await self._reconcile_next()
            if outcome is None or self._stopping.is_set():
                break
            repaired += outcome
            self._pulse.beat()
        await self._store.delete_sent()
        return repaired

    async def _try_reconcile(self) -> None:
        try:
            await self.reconcile()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("reconciliation postponed", error=f"{type(error).__name__}: {error}")

    async def _reconcile_next(self) -> bool | None:
        """Check one batch. Return whether it was repaired; None if none is due."""
        async with self._store.lock_idle_batch(self._idle_s) as transaction:
            before = next(iter(transaction.batches.values()), None)
            if before is None:
                return None
            counted = await transaction.count_rows(before)
            after = before.reconcile(counted).finish_if_complete(self._clock())
            await transaction.mark_checked(before)
            if after == before:
                return False
            log.warning(
                "counters repaired",
                batch_id=str(before.batch_id),
                counted=str(counted),
                counters=str(before.counters),
                finished=after.is_finished,
            )
            await transaction.save([after])
            messages = await transaction.add_to_outbox(finished_messages([after]))
        self._batch_changes.publish([after], messages)
        return True
