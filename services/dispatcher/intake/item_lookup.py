"""Finds stored items of a batch by their ordinals, as they would run now: patched items first, then those in the pages.

Pages have no index of ordinals, since every item would have to pay for it. Ordinals ascend with the page numbers, so a
page is found by binary search.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.dispatcher.domain.item_line import ordinal_of
from services.dispatcher.persistence.page_store import StoredSegment
from services.dispatcher.persistence.stores import Stores

_MAX_ORDINALS = 1000
_PAGES_PER_READ = 4
"""Number of pages in one read."""


@dataclass(frozen=True, slots=True)
class StoredItem:
    """A stored item; `round` is the round in which its payload was patched last, 0 if never. `is_untouched`: it was not
    dispatched from its page yet."""

    ordinal: int
    partition: str
    line: bytes
    round: int = 0
    is_untouched: bool = False


async def find_items(stores: Stores, batch_id: UUID, ordinals: Sequence[int]) -> AsyncIterator[list[StoredItem]]:
    """Yield the requested items that are stored, in groups of bounded size."""
    wanted = sorted(set(ordinals))
    for start in range(0, len(wanted), _MAX_ORDINALS):
        group = wanted[start : start + _MAX_ORDINALS]
        patched = [StoredItem(*row) for row in await stores.pages.patched_items(batch_id, group)]
        if patched:
            yield patched
            known = {item.ordinal for item in patched}
            group = [ordinal for ordinal in group if ordinal not in known]
        async for found in _find_in_pages(stores, batch_id, group):
            yield found


def items_of(segments: Iterable[StoredSegment]) -> Iterator[StoredItem]:
    """Yield the items of page segments whose ordinals can be read."""
    for segment in segments:
        for position, line in enumerate(segment.lines):
            if line:
                yield StoredItem(ordinal_of(line), segment.partition, line, 0, position >= segment.taken)


async def _find_in_pages(stores: Stores, batch_id: UUID, wanted: list[int]) -> AsyncIterator[list[StoredItem]]:
    at, last = 0, await stores.pages.last_page(batch_id)
    while wanted and at <= last:
        at = await page_before(stores, batch_id, wanted[0], at, last)
        rows = await stores.pages.pages_from(batch_id, at, _PAGES_PER_READ)
        if not rows:
            return
        wanted_set = set(wanted)
        found, highest = [], -1
        for item in items_of(rows):
            highest = max(highest, item.ordinal)
            if item.ordinal in wanted_set:
                found.append(item)
        if found:
            yield found
        at = rows[-1].page + 1
        wanted = [ordinal for ordinal in wanted if ordinal > highest]


async def page_before(stores: Stores, batch_id: UUID, ordinal: int, first: int, last: int) -> int:
    """Return a page at or shortly before the one that may contain the ordinal, between `first` and `last`."""
    low, step = first, _PAGES_PER_READ
    while low + step <= last:  # doubles the step first, since the page is near most often
        sample = await stores.pages.first_ordinal_from(batch_id, low + step)
        if sample is None or sample[1] > ordinal:
            last = low + step
            break
        low, step = sample[0], 2 * step
    while last - low > _PAGES_PER_READ:
        middle = (low + last) // 2
        sample = await stores.pages.first_ordinal_from(batch_id, middle)
        if sample is None or sample[1] > ordinal:
            last = middle
        else:
            low = sample[0]
    return low
