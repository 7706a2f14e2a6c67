"""Runs a service as a process: logs, traces, signals, health, background tasks and a bounded shutdown."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, NoReturn

import structlog
import uvloop
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batchyard_contracts.validation_words import predicate
from shared.observability import log, metrics, telemetry
from shared.runtime import exit_codes
from shared.runtime.background import BackgroundTask
from shared.runtime.errors import ConfigurationError, PortTaken
from shared.runtime.health import Health, HealthServer
from shared.runtime.settings import Settings

GRACE_S = 30.0
"""Longest shutdown, in seconds; after that the process exits with code 1."""
START_GRACE_S = 5.0
"""Longest shutdown while the service is still starting, in seconds: no message is in progress then."""


class Runtime:
    """Shared state of a running service: its health, and background tasks whose failure stops the process."""

    def __init__(self) -> None:
        self.health = Health()
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a coroutine as a task. If it fails, the service stops, and its supervisor starts it again."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    @asynccontextmanager
    async def running(self, *background_tasks: BackgroundTask) -> AsyncIterator[None]:
        """Repeat background tasks while the block runs, then stop them and wait until they have ended."""
        tasks = [self.spawn(one.run(), one.name) for one in background_tasks]
        for one in background_tasks:
            self.health.add_readiness_check(one.name, lambda one=one: one.is_working)  # type: ignore[misc]
        try:
            yield
        finally:
            for one in background_tasks:
                one.stop()
            if tasks:
                await asyncio.wait(tasks)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            structlog.get_logger().error("task failed", task=task.get_name(), exc_info=error)
            self.failure = self.failure or error
            self.stopping.set()


def wrong_setting(error: ErrorDetails) -> str:
    """Return the environment variable whose value is wrong, and what is wrong with it."""
    variable, *within = error["loc"]
    place = f": `{'.'.join(map(str, within))}`" if within else ""
    return f"BATCHYARD_{str(variable).upper()}{place} {predicate(error)}"


def run(
    service: str, settings: type[Settings], app: Callable[[Any, Runtime], AbstractAsyncContextManager[None]]
) -> None:
    """Run `app` until SIGTERM or SIGINT, or until one of its tasks fails, then exit the process; never returns."""
    try:
        loaded = settings()
    except ValidationError as error:
        wrong = "; ".join(map(wrong_setting, error.errors()))
        _refuse(f"batchyard {service}: {wrong}", exit_codes.CONFIGURATION)
    log.configure(loaded, service)
    if hosts := loaded.hosts_in_clear():
        structlog.get_logger().warning("passwords travel unencrypted", hosts=hosts)
    try:
        loaded.check_files()
        telemetry.configure(loaded, service)
        metrics.configure(service, otlp=bool(loaded.otlp_endpoint))
        failed = uvloop.run(_main(service, loaded, app))
    except ConfigurationError as error:
        code = exit_codes.PORT_TAKEN if isinstance(error, PortTaken) else exit_codes.CONFIGURATION
        _refuse(f"batchyard {service}: {error}", code)
    sys.stderr.flush()
    sys.exit(1 if failed else 0)


def _refuse(reason: str, code: int) -> NoReturn:
    """Exit with one line that says why."""
    sys.stderr.write(f"{' '.join(reason.split())}\n")
    sys.stderr.flush()
    sys.exit(code)


async def _main(
    service: str, settings: Settings, app: Callable[[Any, Runtime], AbstractAsyncContextManager[None]]
) -> bool:
    runtime = Runtime()
    logger = structlog.get_logger()
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    started = False

    exit_timer: asyncio.TimerHandle | None = None

    def schedule_exit() -> None:
        nonlocal exit_timer
        if exit_timer is None:
            grace_s = GRACE_S if started else START_GRACE_S
            exit_timer = loop.call_later(grace_s, _exit_now, grace_s)

    def stop() -> None:
        runtime.stopping.set()
        schedule_exit()  # also if a library swallows the cancellation or the shutdown hangs
        if not started and main is not None:
            main.cancel()  # it may be waiting for a server that never starts

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    server = HealthServer(runtime.health, settings.health_host, settings.health_port)
    runtime.health.add_readiness_check("started", lambda: started)
    try:
        async with AsyncExitStack() as stack:
            await server.start()
            stack.push_async_callback(server.stop)
            await stack.enter_async_context(app(settings, runtime))
            started = True
            _tune_garbage_collection()
            logger.info("started")
            await runtime.stopping.wait()
            logger.info("stopping")
            schedule_exit()  # a task that failed stops the service too
    except asyncio.CancelledError:
        if not runtime.stopping.is_set():
            raise
    logger.info("stopped")
    return runtime.failure is not None


def _tune_garbage_collection() -> None:
    """Collect garbage less often: decoding a page creates thousands of objects without cycles, and each collection
    would walk over every imported module."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _exit_now(grace_s: float) -> None:
    structlog.get_logger().error("did not stop in time", grace_s=grace_s)
    os._exit(1)
