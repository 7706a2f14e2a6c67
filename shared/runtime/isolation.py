"""Runs an operation on many items together, so that one for which it can never succeed holds up no other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from shared.runtime.transient import is_transient

T = TypeVar("T")


async def run_isolated(
    items: Sequence[T], operation: Callable[[Sequence[T]], Awaitable[None]]
) -> list[tuple[T, Exception]]:
    """Run an operation on all items or, if that fails for good, on each alone; return the items at fault with their
    errors.

    Raises a transient error at once; then the operation may have been done for some items, and has to be repeated.
    """
    if not items:
        return []
    try:
        await operation(items)
    except Exception as error:
        if is_transient(error):
            raise
        if len(items) == 1:
            return [(items[0], error)]
        return [failed for item in items for failed in await run_isolated([item], operation)]
    return []
