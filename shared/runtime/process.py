"""Runs a service as a process: logs, traces, signals, health, background tasks, and an end that always comes."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import structlog
import uvloop
from pydantic import ValidationError

from shared.observability import log, metrics, telemetry
from shared.runtime.errors import ConfigurationError
from shared.runtime.health import Health, HealthServer
from shared.runtime.settings import Settings

GRACE_S = 30.0
"""How long a service may take to stop before it is ended from within."""
START_GRACE_S = 5.0
"""The same while it still starts: nothing is in hand then."""


class Runtime:
    """What a running service shares: its health, and tasks whose failure ends the process."""

    def __init__(self) -> None:
        self.health = Health()
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a task until it ends. If it fails, the service stops: a supervisor starts it afresh."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            structlog.get_logger().error("task failed", task=task.get_name(), exc_info=error)
            self.failure = self.failure or error
            self.stopping.set()


def run(
    service: str, settings: type[Settings], app: Callable[[Any, Runtime], AbstractAsyncContextManager[None]]
) -> None:
    """Run `app` until SIGTERM or SIGINT, or until one of its tasks fails; never returns."""
    try:
        loaded = settings()
    except ValidationError as error:
        wrong = "; ".join(f"BATCHYARD_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        sys.exit(f"batchyard {service}: {wrong}")
    log.configure(loaded, service)
    try:
        telemetry.configure(loaded, service)
        metrics.configure(service)
        failed = uvloop.run(_main(service, loaded, app))
    except ConfigurationError as error:
        sys.exit(f"batchyard {service}: {error}")
    sys.stderr.flush()
    sys.exit(1 if failed else 0)


async def _main(
    service: str, settings: Settings, app: Callable[[Any, Runtime], AbstractAsyncContextManager[None]]
) -> bool:
    runtime = Runtime()
    logger = structlog.get_logger()
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    started = False

    giving_up: asyncio.TimerHandle | None = None

    def give_up_later() -> None:
        nonlocal giving_up
        if giving_up is None:
            grace_s = GRACE_S if started else START_GRACE_S
            giving_up = loop.call_later(grace_s, _give_up, grace_s)

    def stop() -> None:
        runtime.stopping.set()
        give_up_later()  # also when a library swallows the cancellation, or the way out hangs
        if not started and main is not None:
            main.cancel()  # it may be waiting for a server that never comes

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    server = HealthServer(runtime.health, settings.health_host, settings.health_port)
    runtime.health.ready_when("started", lambda: started)
    try:
        async with AsyncExitStack() as stack:
            await server.start()
            stack.push_async_callback(server.stop)
            await stack.enter_async_context(app(settings, runtime))
            started = True
            _settle_memory()
            logger.info("started")
            await runtime.stopping.wait()
            logger.info("stopping")
            give_up_later()  # a task that failed stops the service too
    except asyncio.CancelledError:
        if not runtime.stopping.is_set():
            raise
    logger.info("stopped")
    return runtime.failure is not None


def _settle_memory() -> None:
    """Collect garbage less often: decoding a page makes thousands of objects at once, none of them in a cycle, and
    each collection would walk over everything that was imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _give_up(grace_s: float) -> None:
    structlog.get_logger().error("did not stop in time", grace_s=grace_s)
    os._exit(1)
