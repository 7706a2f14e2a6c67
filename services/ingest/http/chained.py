"""Puts an element that was taken from an iterator in front of it again."""

from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def chain(first: T, rest: AsyncIterator[T]) -> AsyncIterator[T]:
    """Yield the first element, and the rest."""
    yield first
    async for each in rest:
        yield each
