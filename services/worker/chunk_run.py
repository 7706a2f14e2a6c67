"""One chunk from its arrival to its final report."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from services.worker import domain
from services.worker.reuse import Reuse
from services.worker.runner import Runner
from services.worker.success import Outcome

_YIELD_S = 0.01
"""How long items that never wait may keep the event loop."""


class ChunkRun:
    """Runs the items of a chunk side by side, as far as slots are free, and reports outcomes while others still run."""

    def __init__(self, runner: Runner, chunk: ChunkReady, trace: str | None, report_every_s: float) -> None:
        self.chunk = chunk
        self._runner = runner
        self._trace = trace
        self._report_every_s = report_every_s
        self._outcomes: list[Outcome] = []
        self._busy_s = 0.0
        self._reuse = Reuse.of(runner.cache, runner.manifest, chunk)
        self._open = {item.ordinal: item for item in chunk.items}
        self._some = asyncio.Event()
        self._lanes: list[asyncio.Task[None]] = []
        self._stopped = False
        self._cancelled = False

    def stop(self, *, cancelled: bool) -> None:
        """Interrupt what runs. Unless the batch is `cancelled`, it is to run elsewhere."""
        self._stopped, self._cancelled = True, self._cancelled or cancelled
        for lane in self._lanes:
            lane.cancel()

    async def run(self) -> None:
        """Return when everything is reported. Its items count as unfinished from before on."""
        try:
            if not self._stopped:
                await self._work()
            for item in list(self._open.values()):
                self._ended(domain.interrupted(item, cancelled=self._cancelled))
            await self._report(final=True)
        finally:
            self._runner.unfinished -= len(self._open)
            self._runner.room.set()

    async def _work(self) -> None:
        items = await self._to_run()
        if not items:
            return
        if self._runner.by_item_here:
            share = iter(items)
            width = min(len(items), self._runner.manifest.concurrency)
            self._lanes = [asyncio.create_task(self._lane(share)) for _ in range(width)]
        else:
            calls = [items] if self._runner.by_chunk else [[item] for item in items]
            self._lanes = [asyncio.create_task(self._call(call)) for call in calls]
        if self._stopped:  # while the cache was asked
            self.stop(cancelled=self._cancelled)
        work = asyncio.gather(*self._lanes, return_exceptions=True)
        while not work.done():
            some = asyncio.ensure_future(self._some.wait())
            waiting: set[asyncio.Future[Any]] = {work, some}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            some.cancel()
            if not work.done():
                await asyncio.wait({work}, timeout=self._report_every_s)
            if not work.done():
                await self._report(final=False)
        for ended in work.result():
            if isinstance(ended, Exception):
                raise ended

    async def _lane(self, items: Iterator[ChunkItem]) -> None:
        began = time.perf_counter()
        for item in items:
            async with self._runner.slots:
                started = time.perf_counter()
                outcome = await self._runner.run_item(self.chunk, item)
                now = time.perf_counter()
                self._busy_s += now - started
                self._ended(outcome)
            if self._stopped:  # the handler went on after its interruption
                return
            if now - began > _YIELD_S:
                await asyncio.sleep(0)
                began = time.perf_counter()

    async def _call(self, items: Sequence[ChunkItem]) -> None:
        """Run items by one call, in one slot."""
        async with self._runner.slots:
            started = time.perf_counter()
            outcomes = await self._runner.run_chunk(self.chunk, items)
            self._busy_s += time.perf_counter() - started
            for outcome in outcomes:
                self._ended(outcome)

    async def _to_run(self) -> list[ChunkItem]:
        if self._reuse is None:
            return self.chunk.items
        for outcome in await self._reuse.answered():
            self._ended(outcome)
        return list(self._open.values())

    def _ended(self, outcome: Outcome) -> None:
        del self._open[outcome.ordinal]
        self._outcomes.append(outcome)
        self._runner.unfinished -= 1
        self._runner.room.set()
        self._some.set()

    async def _report(self, *, final: bool) -> None:
        outcomes, busy_s = self._outcomes, self._busy_s
        self._outcomes, self._busy_s = [], 0.0
        self._some.clear()
        await self._runner.report(self.chunk, outcomes, busy_s, self._trace, final=final)
        if self._reuse is not None:
            await self._reuse.keep(outcomes)
