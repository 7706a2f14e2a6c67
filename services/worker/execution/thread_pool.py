"""Runs plain functions in daemon threads, which do not delay the end of the process when they are stuck."""

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, TypeVar, cast

T = TypeVar("T")
_CallResult = tuple[Any, BaseException | None]


class ThreadPool:
    """Threads for concurrent calls; the caller limits their number. Idle ones are reused."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: list[_PoolThread] = []
        self.stuck_threads = 0
        """Number of threads that still run although nobody waits for them."""

    async def run(self, work: Callable[[], T], stop: Event) -> T:
        """Return or raise the result of `work`.

        The first interruption sets `stop` and continues to wait, since a thread can only end by itself; the second one
        abandons the thread.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[_CallResult] = loop.create_future()
        thread = self._idle.pop() if self._idle else _PoolThread(self._name)
        thread.work.put(
            _ThreadCall(work, contextvars.copy_context(), loop, lambda done: self._return_thread(thread, ended, done))
        )
        interruption: asyncio.CancelledError | None = None
        while not ended.done():
            try:
                await asyncio.shield(ended)
            except asyncio.CancelledError as error:
                if interruption is not None and not ended.done():
                    ended.cancel()
                    self.stuck_threads += 1
                    raise
                interruption = error
                stop.set()
        value, raised = ended.result()
        if raised is None:
            return cast("T", value)
        if interruption is None and not isinstance(raised, Exception):  # otherwise the worker would end
            raise RuntimeError(f"{type(raised).__name__}: {raised}") from raised
        raise interruption or raised

    def trim(self, keep: int) -> None:
        """End idle threads beyond this number."""
        while len(self._idle) > keep:
            self._idle.pop().work.put(None)

    def _return_thread(self, thread: "_PoolThread", ended: "asyncio.Future[_CallResult]", done: _CallResult) -> None:
        if ended.cancelled():
            self.stuck_threads -= 1
        else:
            ended.set_result(done)
        self._idle.append(thread)


class _ThreadCall:
    """One call in a thread."""

    def __init__(
        self,
        work: Callable[[], Any],
        context: contextvars.Context,
        loop: asyncio.AbstractEventLoop,
        then: Callable[[_CallResult], None],
    ) -> None:
        self._work, self._context, self._loop, self._then = work, context, loop, then

    def run(self) -> None:
        """Run the call and pass its result to the event loop."""
        done: _CallResult
        try:
            done = self._context.run(self._work), None
        except BaseException as error:  # noqa: BLE001  whatever user code raises belongs to its item
            done = None, error
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._then, done)


class _PoolThread:
    """A thread that runs one call after another."""

    def __init__(self, name: str) -> None:
        self.work: SimpleQueue[_ThreadCall | None] = SimpleQueue()
        Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while (task := self.work.get()) is not None:
            task.run()
            del task  # otherwise an idle thread would keep the arguments of its last call alive
