"""The tables of pages: items by page segment, patched items, and keys that items claim."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from batchyard_contracts.v1.values import Dedup
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.item_line import ordinal_of, readable_line, readable_lines
from services.dispatcher.domain.page import Page
from services.dispatcher.domain.scheduling.backlog import START, SegmentKey
from services.dispatcher.domain.scheduling.partition_queue import PageSlice
from services.dispatcher.persistence.statements import SQL, PageKey
from shared.postgres.pool import Pool
from shared.postgres.queries import columns


class Claim(NamedTuple):
    """A dedup key and the item that has it."""

    key: bytes
    ordinal: int
    custom_id: str | None


class DroppedItem(NamedTuple):
    """An item that does not run, and the item of another batch in its place."""

    batch_id: UUID
    ordinal: int
    custom_id: str | None
    by_batch: UUID
    by_ordinal: int


class SavedSegment(NamedTuple):
    """A page segment in the table; `is_new` is False if it may have been there before."""

    batch_id: UUID
    partition: str
    slice: PageSlice
    lines: list[bytes]
    is_new: bool


class PageSegment(NamedTuple):
    """A page segment that is to be saved."""

    batch_id: UUID
    page: int
    segment: int
    partition: str
    lines: list[bytes]

    def row(self) -> tuple[object, ...]:
        """Return the row of the table `pages`."""
        *key, lines = self
        return (*key, len(lines), b"\n".join(lines))

    def saved(self, *, is_new: bool) -> SavedSegment:
        """Return the segment as it is in the table."""
        slice_ = PageSlice(self.page, self.segment, len(self.lines))
        return SavedSegment(self.batch_id, self.partition, slice_, self.lines, is_new)


class StoredSegment(NamedTuple):
    """A page segment with its items, of which the first `taken` are dispatched."""

    page: int
    partition: str
    lines: list[bytes]
    taken: int


def segments_of(pages: Iterable[Page]) -> list[PageSegment]:
    """Return the segments of pages, each once."""
    found = {
        (page.batch_id, page.page, number): PageSegment(
            page.batch_id, page.page, number, segment.partition, segment.lines
        )
        for page in pages
        for number, segment in enumerate(page.segments)
    }
    return list(found.values())


class PageStore:
    """Reads and writes pages. Every write may be repeated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def waiting_by_partition(self, batch_id: UUID, most: int) -> tuple[list[tuple[str, int]], bool]:
        """Return the items of a batch's waiting segments by partition; False: there may be more than `most` segments,
        and the others are left out."""
        rows = await self._pool.fetch(SQL["waiting_by_partition"], batch_id, most)
        return [(row["partition"], row["items"]) for row in rows], not rows or rows[0]["segments"] < most

    async def save_pages(self, pages: Iterable[Page]) -> list[SavedSegment]:
        """Save the segments of pages; those of a withdrawn batch are not saved."""
        segments = segments_of(pages)
        rows = await self._pool.fetch(SQL["save_pages"], *columns([segment.row() for segment in segments], 6))
        new = {tuple(row) for row in rows}
        return [segment.saved(is_new=segment[:3] in new) for segment in segments]

    async def waiting_slices(
        self,
        batch_id: UUID,
        limit: int,
        after: SegmentKey = START,
        partition: str | None = None,
        *,
        claimed_only: bool = False,
    ) -> list[tuple[str, PageSlice]]:
        """Return the first slices of a batch after a place that are not wholly dispatched, each with its partition.

        `partition`: the only one whose slices count; None: all. `claimed_only`: without the segments whose items have
        not claimed their keys yet.
        """
        rows = await self._pool.fetch(SQL["waiting_pages"], batch_id, *after, partition, claimed_only, limit)
        return [(r["partition"], PageSlice(r["page"], r["segment"], r["size"], r["taken"])) for r in rows]

    async def page_items(self, keys: Sequence[PageKey]) -> dict[PageKey, list[bytes]]:
        """Return the items of page segments, each as a readable line."""
        rows = await self._pool.fetch(SQL["page_items"], *columns(keys, 3))
        return {(r["batch_id"], r["page"], r["segment"]): readable_lines(r["items"]) for r in rows}

    async def mark_taken(self, keys: Sequence[tuple[UUID, int, int, int]]) -> None:
        """Move cursors to the end: (batch, page, segment, size)."""
        await self._pool.execute(SQL["mark_taken"], *columns(keys, 4))

    async def unclaimed_segments(self, batch_id: UUID) -> list[tuple[int, int, list[bytes]]]:
        """Return some segments of a batch whose items have not claimed their keys: (page, segment, items)."""
        rows = await self._pool.fetch(SQL["unclaimed_segments"], batch_id)
        return [(r["page"], r["segment"], readable_lines(r["items"])) for r in rows]

    async def claim(
        self, batch: Batch, dedup: Dedup, items: Sequence[Claim], places: Sequence[tuple[int, int]]
    ) -> list[DroppedItem]:
        """Claim each key once for the items of these segments, and save the items dropped for it, of this batch or of
        others. One transaction."""
        query = SQL["claim_first" if dedup.mode == "reject" else "claim_last"]
        names = (batch.owner, batch.workload, batch.batch_id, float(dedup.ttl_s))
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(query, *names, *columns(items, 3))
            await connection.execute(SQL["mark_claimed"], batch.batch_id, *columns(places, 2))
        return [DroppedItem(*row) for row in rows]

    async def dropped_items(self, batch_id: UUID, after: int, limit: int) -> list[DroppedItem]:
        """Return the first items of a batch after an ordinal that do not run."""
        return [DroppedItem(*row) for row in await self._pool.fetch(SQL["dropped_items"], batch_id, after, limit)]

    async def restore_dropped(self, batch_id: UUID, ordinals: Sequence[int]) -> None:
        """Let dropped items run after all."""
        await self._pool.execute(SQL["restore_dropped"], batch_id, ordinals)

    async def patched_items(self, batch_id: UUID, ordinals: Sequence[int]) -> list[tuple[int, str, bytes, int]]:
        """Return those of the items whose payload was patched: (ordinal, partition, item, round)."""
        rows = await self._pool.fetch(SQL["patched_items"], batch_id, ordinals)
        return [(r["ordinal"], r["partition"], readable_line(r["item"], r["ordinal"]), r["round"]) for r in rows]

    async def last_page(self, batch_id: UUID) -> int:
        """Return the highest page number; -1 if no page is stored."""
        return int(await self._pool.fetchval(SQL["last_page"], batch_id))

    async def first_ordinal_from(self, batch_id: UUID, page: int) -> tuple[int, int] | None:
        """Return the first stored page from a number on that begins with a readable ordinal, and that ordinal."""
        while row := await self._pool.fetchrow(SQL["first_page_from"], batch_id, page):
            try:
                return row["page"], ordinal_of(row["start"])
            except ValueError:
                page = row["page"] + 1
        return None

    async def pages_from(self, batch_id: UUID, page: int, most: int) -> list[StoredSegment]:
        """Return whole pages from a number on, by segments."""
        rows = await self._pool.fetch(SQL["pages_from"], batch_id, page, most)
        return [StoredSegment(r["page"], r["partition"], readable_lines(r["items"]), r["taken"]) for r in rows]

    async def page_with(
        self, batch_id: UUID, first: int, last: int, partition: str | None, text: bytes | None, *, is_waiting: bool
    ) -> int | None:
        """Return the first of some pages with items of a partition, with a text, or with items that wait; None if there
        is none."""
        found: int | None = await self._pool.fetchval(
            SQL["page_with"], batch_id, first, last, partition, is_waiting, text
        )
        return found
