"""One chunk from its arrival to its final report."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from functools import partial
from operator import length_hint
from typing import Any

from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from services.worker.domain import outcome as domain
from services.worker.domain.success import OUTCOMES
from services.worker.execution.chunk_progress import Tally
from services.worker.execution.item_runner import Runner

_YIELD_S = 0.01
"""How long items that never wait may keep the event loop."""


class ChunkRun:
    """Runs the items of a chunk side by side, as far as slots are free, and reports outcomes while others still run."""

    def __init__(self, runner: Runner, chunk: ChunkReady, trace: str | None, report_interval_s: float) -> None:
        self.chunk = chunk
        self._runner = runner
        self._report_every_s = report_interval_s
        self._tally = Tally(runner, chunk, trace, runner.slots, counted=True)
        self._over = asyncio.Event()
        self._lanes: dict[asyncio.Task[None], _Lane] = {}
        self._to_do: Iterator[ChunkItem] = iter(())
        self._failure: BaseException | None = None
        self._yielding = False
        """Whether a lane that never waits lets others have the event loop: a second such lane would but hold it."""
        self._stopped = False
        self._cancelled = False
        self._held = False

    def hold(self) -> None:
        """Give all items back before they begin: their batch is paused."""
        self._stopped = self._held = True

    def stop(self, *, cancelled: bool) -> None:
        """Interrupt what runs. Unless the batch is `cancelled`, it is to run elsewhere."""
        self._stopped, self._cancelled = True, self._cancelled or cancelled
        for task in self._lanes:
            task.cancel()
        if self._lanes:
            asyncio.get_running_loop().call_later(self._runner.grace_s, self._give_up_all)

    async def run(self) -> None:
        """Return when everything is reported. Its items count as unfinished from before on."""
        try:
            if not self._stopped:
                await self._work()
            if self._tally.disowned:
                await self._tally.report(final=False)
                await self._tally.confirmed()
                return
            for item in list(self._tally.open.values()):
                back = self._held and not self._cancelled
                self._tally.ended(
                    domain.paused(item) if back else self._tally.interrupted(item, cancelled=self._cancelled)
                )
            await self._tally.report(final=True)
        finally:
            self._tally.close()
            self._runner.unfinished -= len(self._tally.open)
            self._runner.room.set()

    async def _work(self) -> None:
        items = await self._tally.to_run()
        if self._runner.workload.source_definition is not None:
            items = self._start_sources(items)
        if self._runner.by_item_here:
            self._to_do = iter(items)
            self._start_another()
        elif items:
            for call in [items] if self._runner.by_chunk else [[item] for item in items]:
                self._start(partial(self._call, call))
        if self._stopped:  # while the cache was asked
            self.stop(cancelled=self._cancelled)
        while self._lanes:
            await self._tally.some.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._report_every_s):
                    await self._over.wait()
            if self._lanes:
                await self._tally.report(final=False)
        if self._failure:
            raise self._failure

    def _start_sources(self, items: Sequence[ChunkItem]) -> list[ChunkItem]:
        """Start what is not an item of the workload, but finds some; the rest."""
        for item in items:
            if item.source:
                self._start(partial(self._call, [item]))
        return [item for item in items if not item.source]

    def _start_another(self) -> None:
        """Start a lane, since those that there are wait for something: items that never wait need but one."""
        if len(self._lanes) < self._runner.slots.most and length_hint(self._to_do) and not self._stopped:
            self._start(self._one_by_one)

    def _start(self, work: Callable[["_Lane"], Coroutine[Any, Any, None]]) -> None:
        lane = _Lane()
        task = asyncio.create_task(work(lane))
        self._lanes[task] = lane
        self._runner.owners[task] = self._give_up
        task.add_done_callback(self._lane_ended)

    def _lane_ended(self, task: asyncio.Task[None]) -> None:
        self._runner.owners.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if self._lanes.pop(task, None):  # else it was given up before
            self._failure = self._failure or error
            self._look_for_the_end()

    def _look_for_the_end(self) -> None:
        if not self._lanes:
            self._over.set()
            self._tally.some.set()

    def _give_up(self, task: asyncio.Task[None]) -> None:
        """Go on without a task whose call does not end. Another takes its place."""
        lane = self._lanes.get(task)
        if lane is None or not lane.items:
            return
        del self._lanes[task]
        lane.abandoned = True
        self._runner.abandon(task, self.chunk, lane.items)
        for item in lane.items:
            if self._stopped:
                self._tally.ended(self._tally.interrupted(item, cancelled=self._cancelled))
            else:
                self._tally.ended(self._runner.timed_out(item, once=item.ordinal in self._tally.once))
                self._tally.unanswered()
        self._runner.slots.give()
        if self._runner.by_item_here and not self._stopped:
            self._start(self._one_by_one)
        self._look_for_the_end()

    def _give_up_all(self) -> None:
        for task in list(self._lanes):
            self._give_up(task)

    async def _one_by_one(self, lane: "_Lane") -> None:
        tally, began = self._tally, time.perf_counter()
        repeatable = self._runner.manifest.repeatable
        for item in self._to_do:
            if tally.spared(item) or not (tally.at_once() or await self._place([item])):
                continue
            if not repeatable and not await self._may_begin([item]):
                return
            lane.items = (item,)
            try:
                started = time.perf_counter()
                outcome = self._runner.begin(self.chunk, item, tally.hear, once=item.ordinal in tally.once)
                if not isinstance(outcome, OUTCOMES):
                    self._start_another()
                    outcome = await outcome
                    began = time.perf_counter()
                now = time.perf_counter()
                if not lane.abandoned:
                    tally.busy_s += now - started
                    tally.ended(outcome)
            finally:
                self._leave(lane)
            if not lane.abandoned and not tally.succeeded(outcome, now - started):
                await tally.answered([outcome], now - started)
            if self._stopped or lane.abandoned:  # the handler went on after its interruption
                return
            if self._yielding:
                return
            if now - began > _YIELD_S:
                self._yielding = True
                await asyncio.sleep(0)
                self._yielding = False
                began = time.perf_counter()

    def _leave(self, lane: "_Lane") -> None:
        """A call has ended: its slot is free, unless that was given to another when the call was given up."""
        if not lane.abandoned:
            lane.items = ()
            self._runner.slots.give()

    async def _place(self, items: Sequence[ChunkItem]) -> bool:
        """Wait for a slot; False if the items ended instead. Of a limited chunk one lane is enough to do so: it has the
        next moment, and starts another one when its call waits."""
        if self._tally.passage is None:
            self._start_another()
        return await self._tally.place(items, len(items) + length_hint(self._to_do))

    async def _may_begin(self, items: Sequence[ChunkItem]) -> bool:
        """Whether a call may be made, for which there is a slot. If not, that is free again."""
        self._start_another()
        granted = False
        try:
            granted = await self._tally.may_begin(items)
        finally:
            if not granted:
                self._runner.slots.give()
        return granted

    async def _call(self, items: Sequence[ChunkItem], lane: "_Lane") -> None:
        """Run items by one call, in one slot."""
        if not await self._place(items) or not await self._may_begin(items):
            return
        lane.items = items
        try:
            started = time.perf_counter()
            once = items[0].ordinal in self._tally.once
            outcomes = await self._runner.run_chunk(self.chunk, items, self._tally.hear, once=once)
            took_s = time.perf_counter() - started
            if not lane.abandoned:
                self._tally.busy_s += took_s
                for outcome in outcomes:
                    self._tally.ended(outcome)
        finally:
            self._leave(lane)
        if not lane.abandoned:
            await self._tally.answered(outcomes, took_s)


class _Lane:
    """A task that runs one call after the other."""

    __slots__ = ("abandoned", "items")

    def __init__(self) -> None:
        self.items: Sequence[ChunkItem] = ()
        """What runs now."""
        self.abandoned = False
