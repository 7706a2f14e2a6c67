"""Work that waits, in a line for each owner, of whom each has one turn and then everybody else has one first."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

WorkT = TypeVar("WorkT")


class OwnerLines(Generic[WorkT]):
    """The lines of all owners who have work that waits; false while there is none."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[WorkT]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, owner: str, work: WorkT) -> None:
        """Put work at the end of its owner's line."""
        self._lines.setdefault(owner, deque()).append(work)

    def first(self) -> WorkT:
        """Return the work whose turn is next. Raises `KeyError` when none waits."""
        if not self._lines:
            raise KeyError("No work waits.")
        return next(iter(self._lines.values()))[0]

    def take(self) -> WorkT:
        """Take the work whose turn is next. Raises `KeyError` when none waits."""
        owner, line = self._lines.popitem(last=False)
        work = line.popleft()
        if line:
            self._lines[owner] = line  # behind all others
        return work
