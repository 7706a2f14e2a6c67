"""Main program of the sandbox process: runs chunks concurrently as they arrive, and replies to each."""

import asyncio
import ctypes
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import cast

import uvloop

from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from services.worker.caching.result_cache import ResultCache
from services.worker.domain.outcome import OUTCOMES, Outcome, encode_outcome
from services.worker.execution.item_runner import ItemRunner
from services.worker.loading import registry
from services.worker.quarantine.frames import READY, encode_frame, read_frame, write_all
from services.worker.quarantine.running_item_marker import MarkedSteps, RunningItemMarker
from services.worker.settings import WorkerSettings
from shared.messaging.publisher import Publisher
from shared.observability import log

_PR_SET_PDEATHSIG = 1
_GRACE_S = 5.0
"""Seconds that items may take to end after their interruption."""
_OOM_SCORE = "1000"
"""OOM score by which the kernel ends this process rather than the worker when memory is short."""


def main() -> None:
    """Run the sandbox. Arguments: workload, descriptors of requests, replies and marker, process id of the worker."""
    workload, requests, replies, marker, worker = sys.argv[1], *map(int, sys.argv[2:6])
    _die_with_worker(worker)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, "ascii")
    for number in (signal.SIGINT, signal.SIGTERM):  # signals are for the worker, which then ends this process
        signal.signal(number, signal.SIG_IGN)
    settings = WorkerSettings()
    log.configure(settings, "worker")
    found = registry.find([workload], settings.worker_files)[workload]
    uvloop.run(SandboxServer(found, replies, RunningItemMarker(marker)).serve(socket.socket(fileno=requests)))


def _die_with_worker(worker: int) -> None:
    """End this process when the worker is killed, whatever runs here."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:  # the worker was killed before that
        os._exit(1)


class SandboxServer:
    """Runs the chunks that the worker sends, and replies to each."""

    def __init__(self, workload: registry.AnyWorkload, replies: int, marker: RunningItemMarker) -> None:
        self._workload = workload
        self._replies, self._marker = replies, marker
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, requests: socket.socket) -> None:
        """Run chunks until the worker closes its end or is gone."""
        reader, _ = await asyncio.open_connection(sock=requests)
        async with self._workload.lifespan() as resources:
            no_publisher, no_cache = cast("Publisher", None), cast("ResultCache", None)  # the worker sends the reports
            runner = ItemRunner(self._workload, resources, no_publisher, no_cache, "")
            await runner.start()
            try:
                write_all(self._replies, encode_frame(READY))
                while (request := await read_frame(reader)) is not None:
                    task = asyncio.create_task(self._run(runner, ChunkReady.decode(request)))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                await self._interrupt()
            finally:
                await runner.stop()

    async def _interrupt(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_GRACE_S)

    async def _run(self, runner: ItemRunner, chunk: ChunkReady) -> None:
        if runner.items_in_worker:
            (item,) = chunk.items
            run = runner.run_source(chunk, item) if item.source else _run_item(runner, chunk, item)
            outcomes = [await MarkedSteps(run, self._marker, item.ordinal)]
        else:
            outcomes = await runner.run_chunk(
                chunk, chunk.items, at_most_once=not runner.is_repeatable(chunk, chunk.items)
            )
        write_all(self._replies, encode_frame(b"[" + b",".join(map(encode_outcome, outcomes)) + b"]"))


async def _run_item(runner: ItemRunner, chunk: ChunkReady, item: ChunkItem) -> Outcome:
    outcome = runner.start_item(chunk, item, at_most_once=not runner.is_repeatable(chunk, [item]))
    return outcome if isinstance(outcome, OUTCOMES) else await outcome
