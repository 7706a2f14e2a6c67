"""Runs one quarantined chunk, from its first item to its last report."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import structlog

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from batchyard_contracts.workload import Transient
from services.worker.domain import outcome as domain
from services.worker.execution.item_runner import ItemRunner
from services.worker.execution.outcome_buffer import OutcomeBuffer
from services.worker.execution.start_gate import StartGate
from services.worker.limits.slots import Slots
from services.worker.quarantine.bisection import ItemGroup, bisect
from services.worker.quarantine.sandbox import Sandbox, SandboxDied
from services.worker.quarantine.sandbox_pool import SandboxPool

log = structlog.get_logger()
_GRACE_S = 10.0
"""Seconds after the item timeout at which the process is killed: the item is interrupted inside it before."""
_QUICK_CALL_S = 0.02
"""Seconds without an ended item after which another call runs beside the running ones."""
_MAX_FAILED_STARTS = 3
"""Processes in a row that may end before they start an item."""


class IsolatedChunk:
    """Runs items in sandbox processes until each has ended or is found to end its process."""

    def __init__(
        self, runner: ItemRunner, chunk: ChunkReady, trace: str | None, pool: SandboxPool, report_interval_s: float
    ) -> None:
        self.chunk = chunk
        self._runner, self._pool, self._report_interval_s = runner, pool, report_interval_s
        self._slots = Slots(runner.slots.max_slots)  # slots of its own, so that it does not wait for other calls
        self._buffer = OutcomeBuffer(runner, chunk, trace, counted=False)
        self._gate = StartGate(runner, chunk, self._slots, self._buffer)
        self._waiting_tasks: set[asyncio.Task[None]] = set()
        self._sandbox: Sandbox | None = None
        self._failed_starts = 0
        self._deaths = 0
        self._stopped = False
        self._cancelled = False

    @property
    def unfinished(self) -> int:
        """Number of items without an outcome."""
        return len(self._buffer.open_items)

    def stop(self, *, cancelled: bool) -> None:
        """Interrupt running items. Unless the batch is `cancelled`, the rest runs on another worker."""
        self._stopped, self._cancelled = True, self._cancelled or cancelled
        if self._sandbox is not None:
            self._sandbox.interrupt()

    async def run(self, on_progress: Callable[[], None]) -> bool:
        """Return True when everything is reported, False when stopped before. `on_progress` is called regularly.

        An error of the execution itself is raised when no item runs any more.
        """
        work = asyncio.create_task(self._run_groups())
        try:
            return await self._run(work, on_progress)
        except Exception:
            self.stop(cancelled=False)
            await asyncio.wait({work})
            raise
        finally:
            self._buffer.close()

    async def _run(self, work: asyncio.Task[None], on_progress: Callable[[], None]) -> bool:
        while not work.done():
            on_progress()
            some = asyncio.create_task(self._buffer.has_unreported.wait())
            waiting: set[asyncio.Future[Any]] = {work, some}
            await asyncio.wait(waiting, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
            some.cancel()
            if not work.done() and self._buffer.has_unreported.is_set():
                await asyncio.wait({work}, timeout=self._report_interval_s)
                await self._buffer.report(self._gate.take_feedback, final=False)
        work.result()
        if self._gate.is_lease_lost:
            await self._buffer.report(self._gate.take_feedback, final=False)
            await self._buffer.wait_for_confirms()
            return True
        if self._buffer.open_items and not self._cancelled:
            await self._buffer.report(self._gate.take_feedback, final=False)
            await self._buffer.wait_for_confirms()
            return False
        for item in list(self._buffer.open_items.values()):
            self._buffer.add(domain.interrupted(item, cancelled=True))
        await self._buffer.report(self._gate.take_feedback, final=True)
        return True

    async def _run_groups(self) -> None:
        items = await self._buffer.claim_items()
        groups = deque([ItemGroup(tuple(item.ordinal for item in items))] if items else [])
        while groups and not self._stopped and not self._gate.is_lease_lost:
            groups.extendleft(reversed(await self._run_group(groups.popleft())))

    async def _run_group(self, group: ItemGroup) -> Sequence[ItemGroup]:
        """Run a group; return the groups to run in its place when its process died."""
        sandbox = self._sandbox = await self._pool.sandbox()
        is_fresh = not sandbox.is_used
        started_items: list[int] = []
        calls = iter(self._calls(group))
        if self._stopped:  # while it started
            sandbox.interrupt()
        await self._run_calls(sandbox, calls, started_items, min(len(group.items), self._runner.slots.max_slots))
        self._end_at_most_once(started_items, sandbox)
        left = [ordinal for ordinal in group.items if ordinal in self._buffer.open_items]
        if not left or self._stopped or self._gate.is_lease_lost:
            return []
        self._deaths += 1
        bisection = bisect(group, left, started_items, sandbox.executing, is_fresh=is_fresh)
        log.warning(
            "quarantined process died",
            workload=self.chunk.workload,
            batch_id=str(self.chunk.batch_id),
            how=sandbox.exit_reason,
            suspects=sum(ordinal in started_items for ordinal in left),
            deaths=self._deaths,
        )
        if bisection.culprit is not None:
            self._buffer.add(self._fail_culprit(self._buffer.open_items[bisection.culprit], sandbox))
        if started_items:
            self._failed_starts = 0
        elif (error := self._count_failed_start(sandbox)) is not None:
            for ordinal in left:
                self._buffer.add(domain.from_error(self._buffer.open_items[ordinal], error, 0))
            return []
        return bisection.groups

    def _end_at_most_once(self, started_items: Sequence[int], sandbox: Sandbox) -> None:
        """End at-most-once items that had started with their process, regardless of the culprit."""
        for ordinal in started_items:
            if ordinal in self._gate.at_most_once and ordinal in self._buffer.open_items and not self._cancelled:
                exit_reason = f"The process that it ran in ended: {sandbox.exit_reason or 'it was stopped'}."
                self._buffer.add(domain.needs_review(self._buffer.open_items[ordinal], exit_reason))

    async def _run_calls(
        self, sandbox: Sandbox, calls: Iterator[list[ChunkItem]], started_items: list[int], max_tasks: int
    ) -> None:
        """Run calls one by one while each is quick, and more at once while none ends.

        Every item that runs beside a culprit has to run again.
        """
        tasks: set[asyncio.Task[None]] = set()
        left = -1
        while tasks or left < 0:
            if len(tasks) < max_tasks and left in (-1, len(self._buffer.open_items)) and not self._waiting_tasks:
                tasks.add(asyncio.create_task(self._run_calls_in_sequence(sandbox, calls, started_items)))
            left = len(self._buffer.open_items)
            done, tasks = await asyncio.wait(tasks, timeout=_QUICK_CALL_S)
            for task in done:
                if not task.cancelled():
                    task.result()
            if sandbox.has_ended or self._stopped:
                for task in self._waiting_tasks:
                    task.cancel()

    async def _run_calls_in_sequence(
        self, sandbox: Sandbox, calls: Iterator[list[ChunkItem]], started_items: list[int]
    ) -> None:
        within_s = self._runner.manifest.item_timeout_s + _GRACE_S
        for items in calls:
            if not await self._wait_to_start(items):
                continue
            try:
                if sandbox.has_ended or self._stopped:
                    return
                started_items.extend(item.ordinal for item in items)
                started_at = time.perf_counter()
                outcomes = await sandbox.run(self.chunk.model_copy(update={"items": items}), within_s)
            except SandboxDied:
                return
            finally:
                self._slots.release()
            took_s = time.perf_counter() - started_at
            self._buffer.busy_s += took_s
            for outcome in outcomes:
                self._buffer.add(outcome)
            await self._gate.record_outcomes(outcomes, took_s)

    async def _wait_to_start(self, items: list[ChunkItem]) -> bool:
        """Wait until a call may start; False if its items ended instead. Interrupted when the process ends."""
        if not self._runner.whole_chunks and self._gate.skip(items[0]):
            return False
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._waiting_tasks.add(task)
        acquired = granted = False
        try:
            acquired = await self._gate.acquire(items)
            granted = acquired and await self._gate.request_permit(items)
        finally:
            self._waiting_tasks.discard(task)
            if acquired and not granted:
                self._slots.release()
        return granted

    def _calls(self, group: ItemGroup) -> list[list[ChunkItem]]:
        items = [self._buffer.open_items[ordinal] for ordinal in group.items]
        together = [item for item in items if self._runner.whole_chunks and not item.source]
        alone = [[item] for item in items if item not in together]
        return [*alone, together] if together else alone

    def _fail_culprit(self, item: ChunkItem, sandbox: Sandbox) -> ItemOutcome:
        log.error(
            "item found that ends its process",
            workload=self.chunk.workload,
            batch_id=str(self.chunk.batch_id),
            ordinal=item.ordinal,
            how=sandbox.exit_reason,
        )
        if sandbox.is_hung:
            self._gate.record_unanswered()
            return domain.from_error(item, TimeoutError(f"It could not be interrupted: {sandbox.exit_reason}."), 0)
        return domain.worker_lost(item, sandbox.exit_reason)

    def _count_failed_start(self, sandbox: Sandbox) -> Transient | None:
        self._failed_starts += 1
        if self._failed_starts < _MAX_FAILED_STARTS:
            return None
        return Transient(
            "quarantine_failed",
            f"Its worker was lost, and the process to run it alone does not start: {sandbox.exit_reason}. See its log.",
        )
