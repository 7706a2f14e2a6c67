"""Decides what follows when a chunk was lost with its worker.

It is run in a process of its own from then on, so that it takes no other along, and who runs it finds the item at
fault. Should that worker be lost as well, again and again, the chunk is halved: only an item that was alone is blamed.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

from services.dispatcher.domain.scheduling.scheduler import Again, Range

_HALF = 1
"""Further losses of a half until it is halved in turn: another cause would be a strange chance by then."""
_ALONE = 2
"""The same for an item alone, until it fails: the first may still be its neighbours' fault."""

Fate = Literal["again", "halve", "fail"]


def after_loss(losses: int, left: int, losses_max: int) -> Fate:
    """What follows the loss that brought a chunk, of which so many items are not reported, to `losses`."""
    if left == 0 or losses < losses_max:
        return "again"
    return "fail" if left == 1 else "halve"


def losses_of_half(left: int, losses_max: int) -> int:
    """What a half has on its account."""
    return max(0, losses_max - (_ALONE if left == 1 else _HALF))


def halves(
    source: Range | Again, ordinals: Sequence[int], reported: Collection[int]
) -> tuple[Range | Again, Range | Again]:
    """Two parts with as many items that are not reported; there are at least two of these."""
    places = [place for place, ordinal in enumerate(ordinals) if ordinal not in reported]
    middle = places[len(places) // 2]
    if isinstance(source, Again):
        parts = source.ordinals[:middle], source.ordinals[middle:]
        return replace(source, ordinals=parts[0]), replace(source, ordinals=parts[1])
    return (
        Range(source.page, source.segment, source.first, middle),
        Range(source.page, source.segment, source.first + middle, source.count - middle),
    )
