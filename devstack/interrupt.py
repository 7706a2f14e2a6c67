"""Lets SIGINT and SIGTERM end a piece of work in good order: it is cancelled once, and its cleanup runs to the end."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def interruptible(work: Coroutine[Any, Any, Result]) -> Result | None:
    """Run work to its end and give its result; None if a signal ended it.

    The first signal cancels the work; more of them, while its cleanup runs, change nothing. Cleanup must be bounded.
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
