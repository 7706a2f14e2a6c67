"""Serves those who wait in proportion to their weights: who had least for its weight goes first.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): being served costs virtual time, cost by weight, and the
clock shows the virtual time of who was served last. Who comes later, or could not be served for a while, starts at
the clock: it is owed nothing for the time before. Who leaves and comes back soon keeps what it has had.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
_FORGET_FROM = 64
_Place = tuple[float, int]
"""Virtual time, and the turn among equals: no two are the same."""


@dataclass(slots=True)
class _Share(Generic[V]):
    value: V
    weight: float
    place: _Place


class FairLine(Generic[K, V]):
    """Those who wait, in the order in which they are to be served."""

    def __init__(self) -> None:
        self._shares: dict[K, _Share[V]] = {}
        self._order: list[_Place] = []
        self._who: dict[_Place, K] = {}
        self._clock = 0.0
        self._turn = 0
        self._left: dict[K, float] = {}
        """Who left ahead of the clock, and how far."""

    def __len__(self) -> int:
        return len(self._shares)

    def __iter__(self) -> Iterator[tuple[K, V]]:
        for place in self._order:
            key = self._who[place]
            yield key, self._shares[key].value

    def get(self, key: K) -> V | None:
        """The one under this key, if it waits."""
        share = self._shares.get(key)
        return share.value if share else None

    def add(self, key: K, value: V, weight: float = 1.0) -> V:
        """Join; whoever has joined already stays as it is."""
        if (known := self._shares.get(key)) is not None:
            return known.value
        at = max(self._clock, self._left.pop(key, self._clock))
        share = self._shares[key] = _Share(value, weight, (at, 0))
        self._place(key, share, at)
        return value

    def remove(self, key: K) -> V | None:
        """Leave."""
        share = self._shares.pop(key, None)
        if share is None:
            return None
        self._lift(share)
        self._left[key] = share.place[0]
        if len(self._left) > _FORGET_FROM + 2 * len(self._shares):
            self._left = {k: at for k, at in self._left.items() if at > self._clock}
        return share.value

    def weigh(self, key: K, weight: float) -> None:
        """Give another weight from now on."""
        if share := self._shares.get(key):
            share.weight = weight

    def served(self, key: K, cost: float) -> None:
        """Move back by what it has been given."""
        share = self._shares[key]
        self._clock = max(self._clock, share.place[0])
        self._lift(share)
        self._place(key, share, self._clock + cost / share.weight)

    def _place(self, key: K, share: _Share[V], at: float) -> None:
        self._turn += 1
        share.place = (at, self._turn)
        self._who[share.place] = key
        insort(self._order, share.place)

    def _lift(self, share: _Share[V]) -> None:
        del self._order[bisect_left(self._order, share.place)]
        del self._who[share.place]
