"""A weighted fair queue: the entry that was served least in proportion to its weight comes first.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): service costs virtual time, cost divided by weight, and
the clock shows the virtual time of the entry that was served last. An entry that joins late, or could not be served for
a while, starts at the clock and gets no compensation for the time before. An entry that leaves and soon returns keeps
its virtual time.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
_MIN_DEPARTED = 64
_Position = tuple[float, int]
"""Virtual time and a sequence number, which makes each position unique."""


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    weight: float
    position: _Position


class FairQueue(Generic[K, V]):
    """Waiting entries in the order in which they are served."""

    def __init__(self) -> None:
        self._entries: dict[K, _Entry[V]] = {}
        self._order: list[_Position] = []
        self._keys: dict[_Position, K] = {}
        self._clock = 0.0
        self._sequence = 0
        self._departed: dict[K, float] = {}
        """Virtual times of entries that left while they were ahead of the clock."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[K, V]]:
        for position in self._order:
            key = self._keys[position]
            yield key, self._entries[key].value

    def get(self, key: K) -> V | None:
        """Return the waiting entry with this key; None if there is none."""
        entry = self._entries.get(key)
        return entry.value if entry else None

    def place(self, key: K) -> int | None:
        """Return the number of entries that are served before this one; None if it does not wait."""
        entry = self._entries.get(key)
        return bisect_left(self._order, entry.position) if entry else None

    def share(self, key: K) -> float:
        """Return the weight of a waiting entry as a part of that of all; 0 if it does not wait."""
        entry = self._entries.get(key)
        return entry.weight / sum(each.weight for each in self._entries.values()) if entry else 0.0

    def add(self, key: K, value: V, weight: float = 1.0) -> V:
        """Add an entry and return it; an entry that already waits stays unchanged and is returned."""
        if (existing := self._entries.get(key)) is not None:
            return existing.value
        start = max(self._clock, self._departed.pop(key, self._clock))
        entry = self._entries[key] = _Entry(value, weight, (start, 0))
        self._insert(key, entry, start)
        return value

    def remove(self, key: K) -> V | None:
        """Remove an entry; returns it, None if it does not wait."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self._remove_position(entry)
        self._departed[key] = entry.position[0]
        if len(self._departed) > _MIN_DEPARTED + 2 * len(self._entries):
            self._departed = {k: at for k, at in self._departed.items() if at > self._clock}
        return entry.value

    def set_weight(self, key: K, weight: float) -> None:
        """Change the weight of an entry from now on."""
        if entry := self._entries.get(key):
            entry.weight = weight

    def charge(self, key: K, cost: float) -> None:
        """Charge an entry for what it was given, which moves it back."""
        entry = self._entries[key]
        self._clock = max(self._clock, entry.position[0])
        self._remove_position(entry)
        self._insert(key, entry, self._clock + cost / entry.weight)

    def _insert(self, key: K, entry: _Entry[V], at: float) -> None:
        self._sequence += 1
        entry.position = (at, self._sequence)
        self._keys[entry.position] = key
        insort(self._order, entry.position)

    def _remove_position(self, entry: _Entry[V]) -> None:
        del self._order[bisect_left(self._order, entry.position)]
        del self._keys[entry.position]
