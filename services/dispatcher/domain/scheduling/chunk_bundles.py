"""Decides which chunks may travel to a worker in one bundle.

A worker that takes a bundle has all its chunks, while others may be idle, and a long item would keep the rest of the
bundle waiting. So a bundle has only small chunks of short items, as many as take little time together, and each worker
gets a bundle before one gets two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from batchyard_contracts.v1.manifest import Manifest

_BUNDLE_S = 0.05
"""Longest time in seconds that the items of a bundle may take one after the other."""
_MAX_ITEMS = 1000
_SMALL_BYTES = 16 * 1024
"""Size in bytes of a chunk above which a bundle is no cheaper than a message of its own."""
_LONG_TIMEOUT_S = 600.0
"""Time limit of an item above which its workload has no bundles: workers acknowledge such chunks when they begin."""


@dataclass(frozen=True, slots=True)
class BundleCandidate:
    """A chunk that may travel in a bundle: its queue, its number of items, and its size in bytes."""

    queue: str
    items: int
    size: int


def bundle_groups(
    chunks: Sequence[BundleCandidate | None], manifest: Manifest, longest_item_s: float, workers: int
) -> list[int | None]:
    """Return for each chunk of a workload the number of the group that it travels in; None: alone, as a chunk that is
    given as None does.

    `longest_item_s`: measured duration of the longer items of the workload.
    """
    groups: list[int | None] = [None] * len(chunks)
    max_items = _MAX_ITEMS if longest_item_s * _MAX_ITEMS <= _BUNDLE_S else int(_BUNDLE_S / longest_item_s)
    if max_items < 2 or manifest.item_timeout_s > _LONG_TIMEOUT_S:
        return groups
    places_by_queue: dict[str, list[tuple[int, int]]] = {}
    for place, chunk in enumerate(chunks):
        if chunk is not None and chunk.size <= _SMALL_BYTES and chunk.items < max_items:
            places_by_queue.setdefault(chunk.queue, []).append((place, chunk.items))
    group = 0
    for places in places_by_queue.values():
        share = ceil(len(places) / max(1, workers))
        items = count = 0
        for place, number in places:
            if count == share or items + number > max_items:
                group, items, count = group + 1, 0, 0
            groups[place] = group
            items, count = items + number, count + 1
        group += 1
    return groups
