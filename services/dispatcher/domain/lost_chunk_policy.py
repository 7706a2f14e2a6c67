"""Decides what follows when a chunk was lost with its worker.

From then on the chunk runs in quarantine, in a process of its own, so that it crashes no other chunk, and its worker
finds the item at fault. If that worker is lost as well, again and again, the chunk is halved: an item fails only if it
was alone.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

from services.dispatcher.domain.scheduling.scheduler import PageRange, RetryRange

_LOSSES_OF_HALF = 1
"""Further losses after which a half is halved in turn; another reason for the loss is unlikely by then."""
_LOSSES_ALONE = 2
"""Further losses after which a single item fails; the first one may still be due to its neighbours."""

LossAction = Literal["again", "halve", "fail"]


def action_after_loss(losses: int, remaining: int, max_chunk_losses: int) -> LossAction:
    """Return what follows when a chunk with `remaining` unreported items was lost for the `losses`-th time."""
    if remaining == 0 or losses < max_chunk_losses:
        return "again"
    return "fail" if remaining == 1 else "halve"


def losses_of_half(remaining: int, max_chunk_losses: int) -> int:
    """Return the number of losses with which a half starts."""
    return max(0, max_chunk_losses - (_LOSSES_ALONE if remaining == 1 else _LOSSES_OF_HALF))


def halves(
    source: PageRange | RetryRange, ordinals: Sequence[int], reported: Collection[int]
) -> tuple[PageRange | RetryRange, PageRange | RetryRange]:
    """Split a chunk into two parts with equally many unreported items; at least two items must be unreported."""
    places = [place for place, ordinal in enumerate(ordinals) if ordinal not in reported]
    middle = places[len(places) // 2]
    if isinstance(source, RetryRange):
        parts = source.ordinals[:middle], source.ordinals[middle:]
        return replace(source, ordinals=parts[0]), replace(source, ordinals=parts[1])
    return (
        PageRange(source.page, source.segment, source.first, middle),
        PageRange(source.page, source.segment, source.first + middle, source.count - middle),
    )
