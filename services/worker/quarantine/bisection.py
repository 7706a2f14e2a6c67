"""Finds the items that end the sandbox process, by bisection: decides which items run next after each death.

Items that had started and not ended are suspects. If the process was just running the code of one of them, that one
runs alone next; else the suspects run in halves. A suspect that ends a fresh process alone is a culprit.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ItemGroup:
    """Items, by ordinal, that run together."""

    items: tuple[int, ...]
    suspect: bool = False
    """True when one of them may have ended a process."""


@dataclass(frozen=True, slots=True)
class Bisection:
    """The culprit, if it is known, and the groups to run instead of the one that ended its process."""

    groups: tuple[ItemGroup, ...]
    culprit: int | None = None


def bisect(
    group: ItemGroup, left: Sequence[int], started: Sequence[int], executing: int | None, *, is_fresh: bool
) -> Bisection:
    """Return the next step after a death: the items `left` have not ended, and those of them in `started` had started.

    `executing`: item whose code ran, if known. `is_fresh`: nothing but this group has run in that process.
    """
    suspects = tuple(item for item in left if item in started)
    others = tuple(item for item in left if item not in started)
    rest = (ItemGroup(others, group.suspect),) if others else ()
    if not suspects:
        return Bisection(rest)
    if len(suspects) == 1:
        if is_fresh and group.suspect and group.items == suspects:
            return Bisection(rest, culprit=suspects[0])
        return Bisection((ItemGroup(suspects, suspect=True), *rest))
    middle = len(suspects) // 2
    first = (executing,) if executing in suspects else suspects[:middle]
    second = tuple(item for item in suspects if item not in first)
    return Bisection((ItemGroup(first, suspect=True), ItemGroup(second, suspect=True), *rest))
