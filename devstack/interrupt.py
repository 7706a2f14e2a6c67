"""Runs a coroutine that SIGINT and SIGTERM cancel once, so that its cleanup runs to the end."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def run_interruptible(work: Coroutine[Any, Any, Result]) -> Result | None:
    """Run a coroutine and return its result; None if a signal ended it.

    The first signal cancels the coroutine; further ones, during its cleanup, are ignored. Cleanup must be bounded.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    signalled = False

    def stop() -> None:
        nonlocal signalled
        if not signalled:
            signalled = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        if signalled and task.cancelled():
            return None
        raise
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
