"""Decides what follows when a chunk was lost with its worker.

It is run in a process of its own from then on, so that it takes no other along, and who runs it finds the item at
fault. Should that worker be lost as well, again and again, the chunk is halved: only an item that was alone is blamed.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

from services.dispatcher.domain.scheduling.scheduler import PageRange, RetryRange

_LOSSES_OF_HALF = 1
"""Further losses of a half until it is halved in turn: another cause would be a strange chance by then."""
_LOSSES_ALONE = 2
"""The same for an item alone, until it fails: the first may still be its neighbours' fault."""

LossAction = Literal["again", "halve", "fail"]


def action_after_loss(losses: int, remaining: int, max_chunk_losses: int) -> LossAction:
    """What follows the loss that brought a chunk, of which so many items are not reported, to `losses`."""
    if remaining == 0 or losses < max_chunk_losses:
        return "again"
    return "fail" if remaining == 1 else "halve"


def losses_of_half(remaining: int, max_chunk_losses: int) -> int:
    """What a half has on its account."""
    return max(0, max_chunk_losses - (_LOSSES_ALONE if remaining == 1 else _LOSSES_OF_HALF))


def halves(
    source: PageRange | RetryRange, ordinals: Sequence[int], reported: Collection[int]
) -> tuple[PageRange | RetryRange, PageRange | RetryRange]:
    """Two parts with as many items that are not reported; there are at least two of these."""
    places = [place for place, ordinal in enumerate(ordinals) if ordinal not in reported]
    middle = places[len(places) // 2]
    if isinstance(source, RetryRange):
        parts = source.ordinals[:middle], source.ordinals[middle:]
        return replace(source, ordinals=parts[0]), replace(source, ordinals=parts[1])
    return (
        PageRange(source.page, source.segment, source.first, middle),
        PageRange(source.page, source.segment, source.first + middle, source.count - middle),
    )
