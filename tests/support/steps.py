"""Runs a computation that is made of steps."""

from collections.abc import Generator
from typing import TypeVar, cast

T = TypeVar("T")


def value_of(steps: Generator[None, None, T]) -> T:
    """Return the value of a computation, all of whose steps run at once."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return cast("T", end.value)
