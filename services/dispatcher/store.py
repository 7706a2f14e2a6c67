"""The dispatcher's tables: pages of items, leases, retries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from batchyard_contracts.v1.flow import BatchAccepted, BatchControlled, ItemsPage, PageItem, WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest
from services.dispatcher.domain.scheduler import Again, Range, Slice
from services.dispatcher.yard import Batch, Lease
from shared.database import Pool, load_queries

SQL = load_queries("services.dispatcher")
PageKey = tuple[UUID, int, int]


class Due(NamedTuple):
    """An item whose time to run again has come."""

    batch_id: UUID
    ordinal: int
    partition: str
    attempt: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Retry:
    """An item that is to run again."""

    batch_id: UUID
    ordinal: int
    partition: str
    attempt: int
    waits: int
    delay_s: float
    item: bytes


class Store:
    """All reads and writes. Every write may be repeated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def manifests(self) -> list[Manifest]:
        """The manifests that workers have announced."""
        return [Manifest.model_validate_json(row["manifest"]) for row in await self._pool.fetch(SQL["workloads"])]

    async def save_manifests(self, announced: WorkerAnnounced) -> None:
        """Keep what a worker announced, unless a later announcement is known."""
        rows = [(m.name, m.model_dump_json().encode(), announced.started_at) for m in announced.manifests]
        await self._pool.executemany(SQL["save_workload"], rows)

    async def save_batch(self, accepted: BatchAccepted, traceparent: str | None) -> Batch | None:
        """Keep a header; None if the batch is finished already."""
        arguments = (accepted.batch_id, accepted.owner, accepted.workload, accepted.priority, traceparent)
        await self._pool.execute(SQL["save_batch"], *arguments)
        live = {b.batch_id: b for b in await self.live_batches(accepted.batch_id)}
        return live.get(accepted.batch_id)

    async def live_batches(self, only: UUID | None = None) -> list[Batch]:
        """Batches that are not finished."""
        if only is not None:
            rows = await self._pool.fetch(SQL["live_batches"] + " AND batch_id = $1", only)
        else:
            rows = await self._pool.fetch(SQL["live_batches"])
        return [Batch(**dict(row)) for row in rows]

    async def control(self, batch: Batch, command: BatchControlled) -> bool:
        """Keep the state that a command led to; False if a later command is known."""
        arguments = (batch.batch_id, batch.paused, batch.cancelled, batch.priority, command.at)
        return await self._pool.fetchval(SQL["control_batch"], *arguments) is not None

    async def finish(self, batch_id: UUID, round_: int) -> None:
        """Note the end of a round."""
        await self._pool.execute(SQL["finish_batch"], batch_id, round_)

    async def reopen(self, batch_id: UUID, round_: int) -> Batch | None:
        """Begin another round; None if the batch is unknown or further on."""
        if await self._pool.fetchval(SQL["reopen_batch"], batch_id, round_) is None:
            return None
        row = await self._pool.fetchrow(SQL["batch"], batch_id)
        return Batch(**dict(row)) if row else None

    async def withdraw(self, batch_id: UUID) -> None:
        """Forget the pages of a submission that failed, and those still to come."""
        await self._pool.execute(SQL["withdraw"], batch_id)

    async def save_pages(self, pages: Iterable[ItemsPage]) -> list[tuple[UUID, str, Slice, list[bytes]]]:
        """Keep the segments of pages; those that are new are returned: (batch, partition, slice, items)."""
        segments = {
            (page.batch_id, page.page, number): (segment.partition, list(map(_line, segment.items)))
            for page in pages
            for number, segment in enumerate(page.segments)
        }
        rows = [(*key, partition, len(lines), b"\n".join(lines)) for key, (partition, lines) in segments.items()]
        new = await self._pool.fetch(SQL["save_pages"], *_columns(rows, 6))
        return [
            (key[0], segments[key][0], Slice(key[1], key[2], len(segments[key][1])), segments[key][1])
            for key in ((r["batch_id"], r["page"], r["segment"]) for r in new)
        ]

    async def waiting(self, batch_id: UUID) -> list[tuple[str, Slice]]:
        """The slices of a batch that were not given out in whole."""
        rows = await self._pool.fetch(SQL["waiting_pages"], batch_id)
        return [(r["partition"], Slice(r["page"], r["segment"], r["size"], r["taken"])) for r in rows]

    async def page_items(self, keys: Sequence[PageKey]) -> dict[PageKey, list[bytes]]:
        """The items of page segments, each as a line of JSON."""
        rows = await self._pool.fetch(SQL["page_items"], *_columns(keys, 3))
        return {(r["batch_id"], r["page"], r["segment"]): r["items"].split(b"\n") for r in rows}

    async def all_items(self, batch_id: UUID, after: tuple[int, int]) -> list[tuple[tuple[int, int], str, list[bytes]]]:
        """Some page segments of a batch, those after a place: (place, partition, items)."""
        rows = await self._pool.fetch(SQL["all_items"], batch_id, *after)
        return [((r["page"], r["segment"]), r["partition"], r["items"].split(b"\n")) for r in rows]

    async def give(self, leases: Sequence[Lease], started: Sequence[UUID]) -> None:
        """In one statement: move the cursors, and record the chunks that go out."""
        furthest: dict[PageKey, int] = {}
        again: list[tuple[UUID, int, UUID]] = []
        for lease in leases:
            source = lease.source
            if isinstance(source, Range):
                key = (lease.batch_id, source.page, source.segment)
                furthest[key] = max(source.first + source.count, furthest.get(key, 0))
            else:
                again.extend((lease.batch_id, ordinal, lease.chunk_id) for ordinal in source.ordinals)
        await self._pool.execute(
            SQL["give"],
            *_columns([_lease_row(x) for x in leases], 12),
            *_columns([(*key, upto) for key, upto in furthest.items()], 4),
            *_columns(again, 3),
            started,
        )

    async def take_all(self, keys: Sequence[tuple[UUID, int, int, int]]) -> None:
        """Move cursors to the end: (batch, page, segment, size)."""
        await self._pool.execute(SQL["take"], *_columns(keys, 4))

    async def leases(self, now: float) -> list[Lease]:
        """All chunks in flight."""
        found = []
        for row in await self._pool.fetch(SQL["leases"]):
            values = dict(row)
            page, segment, first, size = (values.pop(k) for k in ("page", "segment", "first", "size"))
            source: Range | Again
            if page is None:
                rows = await self._pool.fetch(SQL["chunk_retries"], row["chunk_id"])
                source = Again(row["attempt"], tuple(r["ordinal"] for r in rows))
            else:
                source = Range(page, segment, first, size)
            found.append(Lease(**values, source=source, seen_at=now))
        return found

    async def regive(self, chunk_ids: Sequence[UUID]) -> None:
        """Count a loss and raise the fencing number."""
        await self._pool.execute(SQL["regive"], chunk_ids)

    async def report(
        self, retries: Sequence[Retry], ended: Sequence[UUID], settled: Sequence[tuple[UUID, int]]
    ) -> None:
        """In one transaction: what is to run again, chunks that are done, items that need no row any more."""
        if not retries and not settled:
            await self._pool.execute(SQL["end_leases"], ended)
            return
        async with self._pool.acquire() as connection, connection.transaction():
            if settled:
                await connection.execute(SQL["drop_retries"], *_columns(settled, 2))
            if retries:
                rows = [(r.batch_id, r.ordinal, r.partition, r.attempt, r.waits, r.delay_s, r.item) for r in retries]
                await connection.execute(SQL["save_retries"], *_columns(rows, 7))
            if ended:
                await connection.execute(SQL["end_leases"], ended)

    async def due_retries(self, without: Sequence[str], limit: int) -> list[Due]:
        """Items whose time has come, not those of the named partitions."""
        return [Due(*row) for row in await self._pool.fetch(SQL["due_retries"], without, limit)]

    async def next_retry(self) -> float | None:
        """Seconds until the next item's time comes."""
        seconds: float | None = await self._pool.fetchval(SQL["next_retry"])
        return seconds

    async def retry_items(self, keys: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], tuple[int, bytes]]:
        """For items that ran before: how often they waited, and the item."""
        rows = await self._pool.fetch(SQL["retry_items"], *_columns(keys, 2))
        return {(r["batch_id"], r["ordinal"]): (r["waits"], r["item"]) for r in rows}

    async def waiting_retries(self, batch_id: UUID) -> list[tuple[int, bytes]]:
        """Items of a batch that wait to run again."""
        return [(r["ordinal"], r["item"]) for r in await self._pool.fetch(SQL["waiting_retries"], batch_id)]

    async def forget_old(self, days: float) -> None:
        """Delete the items of batches that ended long ago, and pages whose batch never came."""
        await self._pool.execute(SQL["forget_old"], days)

    async def ready(self) -> datetime:
        """The database's clock: a sign that it answers."""
        now: datetime = await self._pool.fetchval("SELECT now()")
        return now


def _line(item: PageItem) -> bytes:
    fields: dict[str, object] = {"ordinal": item.ordinal, "payload": item.payload}
    if item.custom_id is not None:
        fields["custom_id"] = item.custom_id
    return orjson.dumps(fields)


def _lease_row(lease: Lease) -> tuple[object, ...]:
    place: tuple[int | None, int | None, int | None] = (None, None, None)
    if isinstance(lease.source, Range):
        place = (lease.source.page, lease.source.segment, lease.source.first)
    names = (lease.batch_id, lease.workload, lease.priority, lease.partition, lease.round, lease.attempt)
    return (lease.chunk_id, lease.fence, *names, *place, lease.source.count)


def _columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
