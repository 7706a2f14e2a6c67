"""Checks that work takes time in proportion to its size, for parsers of input that anybody may send."""

import gc
import time
from collections.abc import Callable

MAX_RATIO = 2.5
"""Largest growth of the time for each doubling of the size: 2 is in proportion, 4 is its square."""
_BUDGET_S = 2.0
"""CPU time after which no further round is begun."""


def assert_linear(work: Callable[[int], object], size: int) -> None:
    """Measure the CPU time of `work` at `size`, and at two and four times as much; both doublings together may take at
    most `MAX_RATIO` squared times as long, which is between growth in proportion (4) and its square (16).

    The shortest time of many rounds counts, so that a busy machine, whose caches others use too, makes no difference.
    Choose a size whose work takes a few milliseconds.
    """
    shortest = [float("inf")] * 3
    begun = time.process_time()
    while shortest[2] == float("inf") or time.process_time() - begun < _BUDGET_S:
        work(size << 2)  # so that the memory for it is there
        shortest = [min(time_s, _time_s(work, size << n)) for n, time_s in enumerate(shortest)]
        if shortest[2] < shortest[0] * MAX_RATIO**2:
            return
    milliseconds = [f"{1000 * time_s:.2f}" for time_s in shortest]
    raise AssertionError(f"{milliseconds} ms for {size}, {2 * size} and {4 * size}")


def _time_s(work: Callable[[int], object], size: int) -> float:
    gc.disable()  # a collection takes time for all that the process holds
    try:
        begun = time.process_time()
        work(size)
        return time.process_time() - begun
    finally:
        gc.enable()
