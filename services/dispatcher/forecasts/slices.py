"""Runs a computation on the event loop in slices, so short that messages hardly wait for it."""

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
SLICE_S = 0.001
"""Seconds after which others have a turn; a slice ends with the step that exceeds them."""


async def run_in_slices(steps: Generator[None, None, T]) -> tuple[T, float]:
    """Return the value of a generator, and the seconds of processor time that it took."""
    took_s, began = 0.0, time.thread_time()
    try:
        while True:
            next(steps)
            if (now := time.thread_time()) - began >= SLICE_S:
                took_s += now - began
                await asyncio.sleep(0)
                began = time.thread_time()
    except StopIteration as end:
        return end.value, took_s + time.thread_time() - began
