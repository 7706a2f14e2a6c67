"""Volume of items, by which those that wait are limited."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.ingest.domain.item import ValidatedItem


@dataclass(frozen=True, slots=True)
class Volume:
    """Number of items, and the size in bytes of their payloads as JSON."""

    items: int = 0
    size: int = 0

    def __add__(self, other: "Volume") -> "Volume":
        return Volume(self.items + other.items, self.size + other.size)

    def __sub__(self, other: "Volume") -> "Volume":
        return Volume(self.items - other.items, self.size - other.size)


NOTHING = Volume()


def volume_of(items: Iterable[ValidatedItem]) -> Volume:
    """Return the volume of items."""
    sizes = [len(item.raw) for item in items]
    return Volume(len(sizes), sum(sizes))
