"""Decides what runs next when the process of quarantined items has died, until each that kills it is found.

Who had begun and not ended is suspect. If the process was just running the code of one of them, that one runs alone
next; else the suspects run in halves. A suspect that, alone in a fresh process, ends that as well is guilty.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Items, by ordinal, that run together."""

    items: tuple[int, ...]
    suspect: bool = False
    """One of them may have ended a process."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who is guilty, if that is clear, and the groups that are to run instead of the one that ended its process."""

    groups: tuple[Group, ...]
    guilty: int | None = None


def after_death(
    group: Group, left: Sequence[int], begun: Sequence[int], executing: int | None, *, fresh: bool
) -> Verdict:
    """What follows a death: `left` have not ended, those of them in `begun` had begun.

    `executing`: whose code ran, if known. `fresh`: nothing but this group has run in that process.
    """
    suspects = tuple(item for item in left if item in begun)
    others = tuple(item for item in left if item not in begun)
    rest = (Group(others, group.suspect),) if others else ()
    if not suspects:
        return Verdict(rest)
    if len(suspects) == 1:
        if fresh and group.suspect and group.items == suspects:
            return Verdict(rest, guilty=suspects[0])
        return Verdict((Group(suspects, suspect=True), *rest))
    middle = len(suspects) // 2
    first = (executing,) if executing in suspects else suspects[:middle]
    second = tuple(item for item in suspects if item not in first)
    return Verdict((Group(first, suspect=True), Group(second, suspect=True), *rest))
