"""Ranks what holds back the items of a batch: reasons of all items, destinations, retries, and other batches."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.dispatcher.domain.scheduling.scheduler import Standing
from services.dispatcher.domain.waiting import Wait

_MAX_SINGLE = 10
"""Destinations that have a reason of their own in the list; the others are in the list of destinations alone."""


@dataclass(slots=True)
class Destination:
    """Partition of a batch, with the numbers of its items there."""

    partition: str
    waiting: int = 0
    """Items in memory."""
    loaded: int = 0
    """Number of items in memory that run again."""
    in_flight: int = 0
    retries: int = 0
    """Items in the table that run again and are not in memory."""
    next_retry_s: float | None = None
    """Seconds until the first of them is due; None: none is due later."""
    wait: Wait | None = None
    """Reason for which nothing more goes there; None: something may."""


class Hold(NamedTuple):
    """A reason that holds items back: how many (None: all), and of which partition (None: of all)."""

    wait: Wait
    items: int | None = None
    partition: str | None = None


def busiest(destinations: Iterable[Destination], most: int) -> list[Destination]:
    """Return the destinations with most items that wait, or else are in flight."""
    return heapq.nlargest(most, destinations, key=lambda one: (one.waiting + one.retries, one.in_flight))


def worst(destinations: Iterable[Destination], most: int) -> list[Destination]:
    """Return the destinations that hold back most, those before which no reason stands last."""
    return heapq.nlargest(
        most, destinations, key=lambda one: (one.wait is not None and one.waiting > 0, one.waiting + one.retries)
    )


def holds(
    whole: Sequence[Wait],
    destinations: Iterable[Destination],
    retries: tuple[int, float | None],
    standing: Standing,
    *,
    is_busy: bool,
) -> Iterator[Hold]:
    """Yield the reasons, those first that hold back most.

    `whole`: reasons that concern all items. `retries`: their number, and the time of the first. `is_busy`: the workers
    have as much as they can run at the priority of the batch.
    """
    yield from (Hold(wait) for wait in whole)
    held: list[Hold] = []
    free = 0
    for one in destinations:
        if one.waiting and one.wait is not None:
            held.append(Hold(one.wait, one.waiting, one.partition))
        elif one.waiting:
            free += one.waiting
    held = heapq.nlargest(_MAX_SINGLE, held, key=lambda hold: hold.items or 0)
    count, first = retries
    if count:
        held.append(Hold(Wait("retry_due_later", "Items wait to be tried again.", first), count))
    if free and is_busy and not whole:
        held.append(Hold(Wait("workers_busy", _turn(standing)), free))
    yield from sorted(held, key=lambda hold: -(hold.items or 0))


def _turn(standing: Standing) -> str:
    """Return in words when the batch has its turn, while the workers are busy."""
    words = "The workers run as many items as they can."
    if standing.preceded_by:
        words += f" Items of the priority {' and '.join(standing.preceded_by)} go first."
    if standing.place is not None and standing.batches > 1:
        words += (
            f" The batch is number {standing.place + 1} of {standing.batches} of its owner, of whose share it gets "
        )
        words += f"{standing.share:.0%}."
    if 0 < standing.owner_share < 1:
        words += f" Its owner gets {standing.owner_share:.0%} of the workers."
    return words
