"""Runs one chunk from its arrival to its final report."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from functools import partial
from operator import length_hint
from typing import Any

from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from services.worker.domain import outcome as domain
from services.worker.domain.outcome import OUTCOMES
from services.worker.execution.item_runner import ItemRunner
from services.worker.execution.outcome_buffer import OutcomeBuffer
from services.worker.execution.start_gate import StartGate

_YIELD_S = 0.01
"""Seconds for which items that never wait may keep the event loop."""


class ChunkExecution:
    """Runs the items of a chunk concurrently, as slots are free, and reports outcomes while others still run."""

    def __init__(self, runner: ItemRunner, chunk: ChunkReady, trace: str | None, report_interval_s: float) -> None:
        self.chunk = chunk
        self._runner = runner
        self._report_interval_s = report_interval_s
        self._buffer = OutcomeBuffer(runner, chunk, trace, counted=True)
        self._gate = StartGate(runner, chunk, runner.slots, self._buffer)
        self._finished = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], _CallTask] = {}
        self._remaining_items: Iterator[ChunkItem] = iter(())
        self._error: BaseException | None = None
        self._yielding = False
        """True while a task that never waits yields the event loop; a second one would only block it."""
        self._stopped = False
        self._cancelled = False
        self._paused = False

    def pause(self) -> None:
        """Return all items before they start: their batch is paused."""
        self._stopped = self._paused = True

    def stop(self, *, cancelled: bool) -> None:
        """Interrupt running items. Unless the batch is `cancelled`, they run on another worker."""
        self._stopped, self._cancelled = True, self._cancelled or cancelled
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            asyncio.get_running_loop().call_later(self._runner.grace_s, self._abandon_all)

    async def run(self) -> None:
        """Return when everything is reported. The caller has added the items to the runner's unfinished ones.

        An error of the execution itself is raised when no item runs any more.
        """
        try:
            if not self._stopped:
                await self._run_items()
            if self._gate.is_lease_lost:
                await self._buffer.report(self._gate.take_feedback, final=False)
                await self._buffer.wait_for_confirms()
                return
            for item in list(self._buffer.open_items.values()):
                give_back = self._paused and not self._cancelled
                self._buffer.add(
                    domain.paused(item)
                    if give_back
                    else self._gate.interrupted_outcome(item, cancelled=self._cancelled)
                )
            await self._buffer.report(self._gate.take_feedback, final=True)
        except Exception:
            self.stop(cancelled=False)
            if self._tasks:
                await self._finished.wait()
            raise
        finally:
            self._buffer.close()
            self._runner.unfinished -= len(self._buffer.open_items)
            self._runner.capacity_freed.set()

    async def _run_items(self) -> None:
        items = await self._buffer.claim_items()
        if self._runner.workload.source_definition is not None:
            items = self._start_sources(items)
        if self._runner.items_in_worker:
            self._remaining_items = iter(items)
            self._start_sequence()
        elif items:
            for call in [items] if self._runner.whole_chunks else [[item] for item in items]:
                self._start_task(partial(self._run_call, call))
        if self._stopped:  # while the cache was asked
            self.stop(cancelled=self._cancelled)
        while self._tasks:
            await self._buffer.has_unreported.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._report_interval_s):
                    await self._finished.wait()
            if self._tasks:
                await self._buffer.report(self._gate.take_feedback, final=False)
        if self._error:
            raise self._error

    def _start_sources(self, items: Sequence[ChunkItem]) -> list[ChunkItem]:
        """Start the sources among the items, and return the other items."""
        for item in items:
            if item.source:
                self._start_task(partial(self._run_call, [item]))
        return [item for item in items if not item.source]

    def _start_sequence(self) -> None:
        """Start another task, because the others wait: items that never wait need only one."""
        if len(self._tasks) < self._runner.slots.max_slots and length_hint(self._remaining_items) and not self._stopped:
            self._start_task(self._run_items_in_sequence)

    def _start_task(self, work: Callable[["_CallTask"], Coroutine[Any, Any, None]]) -> None:
        call_task = _CallTask()
        task = asyncio.create_task(work(call_task))
        self._tasks[task] = call_task
        self._runner.stuck_callbacks[task] = self._abandon
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._runner.stuck_callbacks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if self._tasks.pop(task, None):  # else it was abandoned
            self._error = self._error or error
            self._check_finished()

    def _check_finished(self) -> None:
        if not self._tasks:
            self._finished.set()
            self._buffer.has_unreported.set()

    def _abandon(self, task: asyncio.Task[None]) -> None:
        """Continue without a task whose call does not end; another one takes its place."""
        call_task = self._tasks.get(task)
        if call_task is None or not call_task.items:
            return
        del self._tasks[task]
        call_task.abandoned = True
        self._runner.abandon_task(task, self.chunk, call_task.items)
        for item in call_task.items:
            if self._stopped:
                self._buffer.add(self._gate.interrupted_outcome(item, cancelled=self._cancelled))
            else:
                self._buffer.add(
                    self._runner.timeout_outcome(item, at_most_once=item.ordinal in self._gate.at_most_once)
                )
                self._gate.record_unanswered()
        self._runner.slots.release()
        if self._runner.items_in_worker and not self._stopped:
            self._start_task(self._run_items_in_sequence)
        self._check_finished()

    def _abandon_all(self) -> None:
        for task in list(self._tasks):
            self._abandon(task)

    async def _run_items_in_sequence(self, call_task: "_CallTask") -> None:
        buffer, gate, began = self._buffer, self._gate, time.perf_counter()
        repeatable = self._runner.manifest.repeatable
        for item in self._remaining_items:
            if gate.skip(item) or not (gate.try_acquire() or await self._acquire_slot([item])):
                continue
            if not repeatable and not await self._request_permit([item]):
                return
            call_task.items = (item,)
            try:
                started = time.perf_counter()
                outcome = self._runner.start_item(
                    self.chunk, item, gate.record_remaining, at_most_once=item.ordinal in gate.at_most_once
                )
                if not isinstance(outcome, OUTCOMES):
                    self._start_sequence()
                    outcome = await outcome
                    began = time.perf_counter()
                now = time.perf_counter()
                if not call_task.abandoned:
                    buffer.busy_s += now - started
                    buffer.add(outcome)
            finally:
                self._end_call(call_task)
            if not call_task.abandoned and not gate.record_success(outcome, now - started):
                await gate.record_outcomes([outcome], now - started)
            if self._stopped or call_task.abandoned:  # the handler went on after its interruption
                return
            if self._yielding:
                return
            if now - began > _YIELD_S:
                self._yielding = True
                await asyncio.sleep(0)
                self._yielding = False
                began = time.perf_counter()

    def _end_call(self, call_task: "_CallTask") -> None:
        """Release the slot of a call that ended, unless it was released when the call was abandoned."""
        if not call_task.abandoned:
            call_task.items = ()
            self._runner.slots.release()

    async def _acquire_slot(self, items: Sequence[ChunkItem]) -> bool:
        """Wait for a slot; False if the items ended instead.

        One task of a rate-limited chunk waits at a time; it starts another one when its call waits.
        """
        if self._gate.paced is None:
            self._start_sequence()
        return await self._gate.acquire(items, len(items) + length_hint(self._remaining_items))

    async def _request_permit(self, items: Sequence[ChunkItem]) -> bool:
        """Return True if the call may be made; otherwise its slot is released."""
        self._start_sequence()
        granted = False
        try:
            granted = await self._gate.request_permit(items)
        finally:
            if not granted:
                self._runner.slots.release()
        return granted

    async def _run_call(self, items: Sequence[ChunkItem], call_task: "_CallTask") -> None:
        """Run items with one call, in one slot."""
        items = [item for item in items if not self._gate.skip(item)]
        if not items or not await self._acquire_slot(items) or not await self._request_permit(items):
            return
        call_task.items = items
        try:
            started = time.perf_counter()
            at_most_once = items[0].ordinal in self._gate.at_most_once
            outcomes = await self._runner.run_chunk(
                self.chunk, items, self._gate.record_remaining, at_most_once=at_most_once
            )
            took_s = time.perf_counter() - started
            if not call_task.abandoned:
                self._buffer.busy_s += took_s
                for outcome in outcomes:
                    self._buffer.add(outcome)
        finally:
            self._end_call(call_task)
        if not call_task.abandoned:
            await self._gate.record_outcomes(outcomes, took_s)


class _CallTask:
    """A task that makes one call after another."""

    __slots__ = ("abandoned", "items")

    def __init__(self) -> None:
        self.items: Sequence[ChunkItem] = ()
        """Items of the running call; empty between calls."""
        self.abandoned = False
