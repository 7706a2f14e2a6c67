"""One quarantined chunk, from its first item to its last report."""

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
from services.worker.execution.chunk_progress import Tally
from services.worker.execution.item_runner import Runner
from services.worker.limits.slots import Slots
from services.worker.quarantine.bisection import Group, after_death
from services.worker.quarantine.sandbox import Died, Process
from services.worker.quarantine.sandbox_pool import Cell

log = structlog.get_logger()
_GRACE_S = 10.0
"""How much longer than its time an item may take until its process is killed: it is interrupted in there first."""
_PATIENCE_S = 0.02
"""So long an item may take before another runs beside it: no item costs more than that."""
_FALSE_STARTS = 3
"""Processes in a row that end before they begin an item."""


class Inquest:
    """Runs items in a process, and in another one when that dies, until each has ended or is found to be the cause."""

    def __init__(
        self, runner: Runner, chunk: ChunkReady, trace: str | None, cell: Cell, report_interval_s: float
    ) -> None:
        self.chunk = chunk
        self._runner, self._cell, self._report_every_s = runner, cell, report_interval_s
        self._slots = Slots(runner.slots.most)  # of its own, as its process is: it waits for nobody else's calls
        self._tally = Tally(runner, chunk, trace, self._slots, counted=False)
        self._at_gate: set[asyncio.Task[None]] = set()
        self._process: Process | None = None
        self._false_starts = 0
        self._deaths = 0
        self._stopped = False
        self._cancelled = False

    @property
    def unfinished(self) -> int:
        """Items without an outcome."""
        return len(self._tally.open)

    def stop(self, *, cancelled: bool) -> None:
        """Interrupt what runs. Unless the batch is `cancelled`, the rest is to run elsewhere."""
        self._stopped, self._cancelled = True, self._cancelled or cancelled
        if self._process is not None:
            self._process.interrupt()

    async def run(self, alive: Callable[[], None]) -> bool:
        """True when everything is reported, False when it was stopped before. `alive` is called now and then."""
        try:
            return await self._run(alive)
        finally:
            self._tally.close()

    async def _run(self, alive: Callable[[], None]) -> bool:
        work = asyncio.create_task(self._work())
        while not work.done():
            alive()
            some = asyncio.create_task(self._tally.some.wait())
            waiting: set[asyncio.Future[Any]] = {work, some}
            await asyncio.wait(waiting, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
            some.cancel()
            if not work.done() and self._tally.some.is_set():
                await asyncio.wait({work}, timeout=self._report_every_s)
                await self._tally.report(final=False)
        work.result()
        if self._tally.disowned:
            await self._tally.report(final=False)
            await self._tally.confirmed()
            return True
        if self._tally.open and not self._cancelled:
            await self._tally.report(final=False)
            await self._tally.confirmed()
            return False
        for item in list(self._tally.open.values()):
            self._tally.ended(domain.interrupted(item, cancelled=True))
        await self._tally.report(final=True)
        return True

    async def _work(self) -> None:
        items = await self._tally.to_run()
        groups = deque([Group(tuple(item.ordinal for item in items))] if items else [])
        while groups and not self._stopped and not self._tally.disowned:
            groups.extendleft(reversed(await self._run_group(groups.popleft())))

    async def _run_group(self, group: Group) -> Sequence[Group]:
        """Run a group; what is to run in its place if its process died."""
        process = self._process = await self._cell.process()
        fresh = not process.used
        begun: list[int] = []
        calls = iter(self._calls(group))
        if self._stopped:  # while it started
            process.interrupt()
        await self._run_calls(process, calls, begun, min(len(group.items), self._runner.slots.most))
        self._end_cut_off(begun, process)
        left = [ordinal for ordinal in group.items if ordinal in self._tally.open]
        if not left or self._stopped or self._tally.disowned:
            return []
        self._deaths += 1
        verdict = after_death(group, left, begun, process.executing, fresh=fresh)
        log.warning(
            "quarantined process died",
            workload=self.chunk.workload,
            batch_id=str(self.chunk.batch_id),
            how=process.how,
            suspects=sum(ordinal in begun for ordinal in left),
            deaths=self._deaths,
        )
        if verdict.guilty is not None:
            self._tally.ended(self._condemned(self._tally.open[verdict.guilty], process))
        if begun:
            self._false_starts = 0
        elif (never := self._false_start(process)) is not None:
            for ordinal in left:
                self._tally.ended(domain.raised(self._tally.open[ordinal], never, 0))
            return []
        return verdict.groups

    def _end_cut_off(self, begun: Sequence[int], process: Process) -> None:
        """What had begun and must not run twice ends with its process, whoever was at fault."""
        for ordinal in begun:
            if ordinal in self._tally.once and ordinal in self._tally.open and not self._cancelled:
                how = f"The process that it ran in ended: {process.how or 'it was stopped'}."
                self._tally.ended(domain.cut_off(self._tally.open[ordinal], how))

    async def _run_calls(self, process: Process, calls: Iterator[list[ChunkItem]], begun: list[int], most: int) -> None:
        """Run them one by one as long as that is quick, since whoever runs beside a guilty one has to run again; while
        none ends for a while, ever more at once."""
        lanes: set[asyncio.Task[None]] = set()
        left = -1
        while lanes or left < 0:
            if len(lanes) < most and left in (-1, len(self._tally.open)) and not self._at_gate:
                lanes.add(asyncio.create_task(self._lane(process, calls, begun)))
            left = len(self._tally.open)
            done, lanes = await asyncio.wait(lanes, timeout=_PATIENCE_S)
            for lane in done:
                if not lane.cancelled():
                    lane.result()
            if process.dead or self._stopped:
                for lane in self._at_gate:
                    lane.cancel()

    async def _lane(self, process: Process, calls: Iterator[list[ChunkItem]], begun: list[int]) -> None:
        within_s = self._runner.manifest.item_timeout_s + _GRACE_S
        for items in calls:
            if not await self._may_start(items):
                continue
            try:
                if process.dead or self._stopped:
                    return
                begun.extend(item.ordinal for item in items)
                started = time.perf_counter()
                outcomes = await process.run(self.chunk.model_copy(update={"items": items}), within_s)
            except Died:
                return
            finally:
                self._slots.give()
            took_s = time.perf_counter() - started
            self._tally.busy_s += took_s
            for outcome in outcomes:
                self._tally.ended(outcome)
            await self._tally.answered(outcomes, took_s)

    async def _may_start(self, items: list[ChunkItem]) -> bool:
        """Wait for the moment of a call; False if its items ended instead. Interrupted when there is no process."""
        if not self._runner.by_chunk and self._tally.spared(items[0]):
            return False
        lane = cast("asyncio.Task[None]", asyncio.current_task())
        self._at_gate.add(lane)
        placed = granted = False
        try:
            placed = await self._tally.place(items)
            granted = placed and await self._tally.may_begin(items)
        finally:
            self._at_gate.discard(lane)
            if placed and not granted:
                self._slots.give()
        return granted

    def _calls(self, group: Group) -> list[list[ChunkItem]]:
        items = [self._tally.open[ordinal] for ordinal in group.items]
        together = [item for item in items if self._runner.by_chunk and not item.source]
        alone = [[item] for item in items if item not in together]
        return [*alone, together] if together else alone

    def _condemned(self, item: ChunkItem, process: Process) -> ItemOutcome:
        log.error(
            "item found that ends its process",
            workload=self.chunk.workload,
            batch_id=str(self.chunk.batch_id),
            ordinal=item.ordinal,
            how=process.how,
        )
        if process.hung:
            self._tally.unanswered()
            return domain.raised(item, TimeoutError(f"It could not be interrupted: {process.how}."), 0)
        return domain.worker_lost(item, process.how)

    def _false_start(self, process: Process) -> Transient | None:
        self._false_starts += 1
        if self._false_starts < _FALSE_STARTS:
            return None
        return Transient(
            "quarantine_failed",
            f"Its worker was lost, and the process to run it alone does not start: {process.how}. See its log.",
        )
