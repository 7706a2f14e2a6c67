"""Interrupts items at their timeout, with one timer for all that run.

All items of a workload have the same timeout, so they reach it in the order in which they started. A timer for each
would cost more than a small item itself; items that never wait cannot be interrupted and are not recorded.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from types import coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Deadlines:
    """Running items of one workload, oldest first."""

    def __init__(self, limit_s: float, grace_s: float, on_stuck: Callable[["asyncio.Task[Any]"], None]) -> None:
        """`on_stuck` is called with the task of work that has not ended `grace_s` seconds after its interruption."""
        self.limit_s = limit_s
        self._grace_s, self._on_stuck = grace_s, on_stuck
        self._running: dict[_RunningWork, None] = {}
        self._interrupted: dict[_RunningWork, asyncio.TimerHandle] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await the work; raises `TimeoutError` at its timeout."""
        try:
            waits_for = work.send(None)
        except StopIteration as done:
            return cast("T", done.value)
        return await self.resume(work, waits_for)

    async def resume(self, work: Coroutine[Any, Any, T], waits_for: Any) -> T:
        """Await work that was started in this task and waits for `waits_for`."""
        running = _RunningWork(asyncio.get_running_loop().time() + self.limit_s)
        self._running[running] = None
        if self._timer is None:
            self._schedule()
        try:
            return await _resume(work, waits_for)
        except asyncio.CancelledError:
            if running.interrupted and running.task.uncancel() == 0:
                running.interrupted = False
                raise TimeoutError(f"No end after {self.limit_s:g} s.") from None
            raise
        finally:
            self._running.pop(running, None)
            if timer := self._interrupted.pop(running, None):
                timer.cancel()
            if running.interrupted:  # the work ended at the same moment: the pending interruption has no effect
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
                running.task.uncancel()

    def _schedule(self) -> None:
        first = next(iter(self._running), None)
        self._timer = asyncio.get_running_loop().call_at(first.deadline, self._expire) if first else None

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for running in list(itertools.takewhile(lambda r: r.deadline <= now, self._running)):
            del self._running[running]
            self._interrupted[running] = loop.call_later(self._grace_s, self._on_stuck, running.task)
            running.interrupt()
        self._schedule()


class _RunningWork:
    """One item, in the task that runs it."""

    __slots__ = ("deadline", "interrupted", "task")

    def __init__(self, deadline: float) -> None:
        self.task = cast("asyncio.Task[Any]", asyncio.current_task())
        self.deadline = deadline
        self.interrupted = False

    def interrupt(self) -> None:
        """Cancel the task because the timeout is reached."""
        self.interrupted = True
        self.task.cancel()


@coroutine
def _resume(work: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Await work that was started in the same task and waits for `waits_for`."""
    try:
        while True:
            try:
                value = yield waits_for
            except BaseException as error:  # noqa: BLE001  whatever is thrown in is for the work to judge
                waits_for = work.throw(error)
            else:
                waits_for = work.send(value)
    except StopIteration as done:
        return cast("T", done.value)
