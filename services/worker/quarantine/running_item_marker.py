"""Marks the item whose code runs at the moment, in shared memory that outlives the process."""

import mmap
import os
import struct
import tempfile
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_ORDINAL = struct.Struct("q")
_NO_ITEM = -1


def create_marker_memory() -> int:
    """Return a descriptor of such memory, to be passed to another process."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mark")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _ORDINAL.size)
    return descriptor


class RunningItemMarker:
    """The shared memory behind a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _ORDINAL.size)
        self.set(_NO_ITEM)

    def set(self, ordinal: int) -> None:
        """Mark an item as running."""
        _ORDINAL.pack_into(self._memory, 0, ordinal)

    def clear(self) -> None:
        """Mark that no item's code runs."""
        self.set(_NO_ITEM)

    def get(self) -> int | None:
        """Return the marked item; None also for code in threads and in tasks that a handler started."""
        (ordinal,) = _ORDINAL.unpack_from(self._memory, 0)
        return None if ordinal == _NO_ITEM else int(ordinal)


class MarkedSteps(Generic[T]):
    """Awaits `work` and marks each of its steps, from one wait to the next."""

    def __init__(self, work: Coroutine[Any, Any, T], marker: RunningItemMarker, ordinal: int) -> None:
        self._work, self._marker, self._ordinal = work, marker, ordinal

    def __await__(self) -> Generator[Any, Any, T]:
        error: BaseException | None = None
        while True:
            self._marker.set(self._ordinal)
            try:
                awaited = self._work.send(None) if error is None else self._work.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self._marker.clear()
            error = None
            try:
                yield awaited
            except BaseException as raised:  # noqa: BLE001  an interruption is for the work
                error = raised
