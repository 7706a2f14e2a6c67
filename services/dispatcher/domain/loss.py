"""Decides what follows when a chunk was lost with its worker.

An item that kills its worker takes along what runs beside it. So a chunk that was lost twice is taken apart, its
items go out alone, and only an item that was alone when its worker was lost can be the cause and fails.
"""

from collections.abc import Sequence
from typing import Literal

PARTS_MAX = 100
"""Parts that a chunk is taken into at once; larger parts are taken apart in turn."""
_APART_AT = 2

Fate = Literal["again", "apart", "fail"]


def after_loss(losses: int, items: int, apart: bool, losses_max: int) -> Fate:
    """What follows the loss that brought a chunk of so many items to `losses`."""
    if items == 1 and losses >= losses_max:
        return "fail"
    if losses < min(_APART_AT, losses_max) or (apart and items == 1):
        return "again"
    return "apart"


def groups(items: Sequence[int]) -> list[tuple[int, ...]]:
    """Neighbours in groups, of one item each unless those were too many. A group has no gaps in its numbers."""
    most = -(-len(items) // PARTS_MAX)
    found: list[list[int]] = []
    for item in items:
        if found and len(found[-1]) < most and found[-1][-1] == item - 1:
            found[-1].append(item)
        else:
            found.append([item])
    return [tuple(group) for group in found]
