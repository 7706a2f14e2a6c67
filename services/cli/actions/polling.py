"""Waits for a state of the server that HTTP has no way to tell, and says how to go on when that is interrupted."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from services.cli.errors import NotReachable
from services.cli.rendering.output import note

StateT = TypeVar("StateT")


def poll(
    read: Callable[[], StateT], is_done: Callable[[StateT], bool], *, every_s: float, within_s: float = math.inf
) -> StateT:
    """Read the state until it is done, or until the time is over; return it as it is then."""
    end = time.monotonic() + within_s
    while not is_done(found := read()) and time.monotonic() < end:
        time.sleep(every_s)
    return found


@contextmanager
def advice_on_interruption(advice: str) -> Iterator[None]:
    """Write the advice if the block is left by Ctrl-C, or because Batchyard cannot be reached."""
    try:
        yield
    except (NotReachable, KeyboardInterrupt):
        note(advice)
        raise
