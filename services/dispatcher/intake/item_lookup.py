"""Finds the items of a batch by their ordinals, as they would run now: patched ones first, the others in their pages.

Pages are kept without an index of ordinals, which every item would have to pay for. They hold ordinals in the order
of their numbers, so that a page is found by halving.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.dispatcher.codecs.item import ordinal_of
from services.dispatcher.persistence.store import Store

_MAX_ORDINALS = 1000
_PAGES_PER_READ = 4
"""Pages that are read at once."""


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item; `round` is that for which its payload was patched last, 0 if never."""

    ordinal: int
    partition: str
    line: bytes
    round: int = 0


async def find_items(store: Store, batch_id: UUID, ordinals: Sequence[int]) -> AsyncIterator[list[StoredItem]]:
    """Those of the items that are kept, in lots of bounded size."""
    wanted = sorted(set(ordinals))
    for start in range(0, len(wanted), _MAX_ORDINALS):
        lot = wanted[start : start + _MAX_ORDINALS]
        patched = [StoredItem(*row) for row in await store.patched_items(batch_id, lot)]
        if patched:
            yield patched
            known = {item.ordinal for item in patched}
            lot = [ordinal for ordinal in lot if ordinal not in known]
        async for found in _find_in_pages(store, batch_id, lot):
            yield found


async def _find_in_pages(store: Store, batch_id: UUID, wanted: list[int]) -> AsyncIterator[list[StoredItem]]:
    at, last = 0, await store.last_page(batch_id)
    while wanted and at <= last:
        at = await _page_before(store, batch_id, wanted[0], at, last)
        rows = await store.pages_from(batch_id, at, _PAGES_PER_READ)
        if not rows:
            return
        sought = set(wanted)
        found, highest = [], -1
        for _, partition, lines in rows:
            for line in lines:
                ordinal = ordinal_of(line)
                highest = max(highest, ordinal)
                if ordinal in sought:
                    found.append(StoredItem(ordinal, partition, line))
        if found:
            yield found
        at = rows[-1][0] + 1
        wanted = [ordinal for ordinal in wanted if ordinal > highest]


async def _page_before(store: Store, batch_id: UUID, ordinal: int, first: int, last: int) -> int:
    """A page not far before the one that may hold the ordinal, between two pages."""
    low, step = first, _PAGES_PER_READ
    while low + step <= last:  # most often it is near
        sample = await store.first_ordinal_from(batch_id, low + step)
        if sample is None or sample[1] > ordinal:
            last = low + step
            break
        low, step = sample[0], 2 * step
    while last - low > _PAGES_PER_READ:
        middle = (low + last) // 2
        sample = await store.first_ordinal_from(batch_id, middle)
        if sample is None or sample[1] > ordinal:
            last = middle
        else:
            low = sample[0]
    return low
