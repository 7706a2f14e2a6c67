"""The dispatcher's tables: pages of items, leases, retries."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
import orjson

from batchyard_contracts.v1.flow import BatchAccepted, BatchControlled, WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import Dedup, Reuse, StopReason, Terms
from services.dispatcher.codecs.page import Page
from services.dispatcher.domain.item_line import ordinal_of
from services.dispatcher.domain.retry_policy import Retry
from services.dispatcher.domain.scheduling.scheduler import PageRange, PageSlice, RetryRange
from services.dispatcher.state.batch import Batch
from services.dispatcher.state.lease import Lease
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

SQL = load_queries("services.dispatcher.persistence")
PageKey = tuple[UUID, int, int]


class DueRetry(NamedTuple):
    """An item whose time to run again has come."""

    batch_id: UUID
    ordinal: int
    partition: str
    attempt: int
    quarantined: bool
    bytes: int


class PatchedItem(NamedTuple):
    """An item with the payload that it has from a round on."""

    batch_id: UUID
    ordinal: int
    round: int
    partition: str
    item: bytes


class Claim(NamedTuple):
    """A deduplication key, and the item that bears it."""

    key: bytes
    ordinal: int
    custom_id: str | None


class DroppedItem(NamedTuple):
    """An item that is not to run, and the one of another batch that takes its place."""

    batch_id: UUID
    ordinal: int
    custom_id: str | None
    by_batch: UUID
    by_ordinal: int


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
        says = (accepted.batch_id, accepted.owner, accepted.workload, accepted.priority, traceparent, _reuse(accepted))
        await self._save_terms(accepted.batch_id, accepted.terms, [], accepted.accepted_at)
        row = await self._pool.fetchrow(SQL["save_batch"], *says)
        return _batch(row) if row else None

    async def live_batches(self) -> list[Batch]:
        """Batches that are not finished, and what they were told."""
        return [_batch(row) for row in await self._pool.fetch(SQL["live_batches"], None)]

    async def live_batch(self, batch_id: UUID) -> Batch | None:
        """One of them."""
        return next((_batch(row) for row in await self._pool.fetch(SQL["live_batches"], batch_id)), None)

    async def save_control(self, command: BatchControlled) -> None:
        """Keep a command, also of a batch that is not known yet. Of each thing that can be told the last one holds."""
        paused = {"pause": True, "resume": False}.get(command.action)
        priority = command.priority if command.action == "change" else None
        cancelled = command.action == "cancel"
        await self._pool.execute(SQL["steer"], command.batch_id, paused, priority, cancelled, command.at)
        await self._save_terms(command.batch_id, command.terms, command.clear, command.at)

    async def save_stop(self, batch_id: UUID, round_: int, cause: StopReason) -> None:
        """Keep that a service stopped a round; the first cause holds."""
        await self._pool.execute(SQL["stop"], batch_id, round_, cause)

    async def _save_terms(self, batch_id: UUID, terms: Terms, clear: Sequence[str], at: datetime) -> None:
        values: dict[str, str | None] = dict.fromkeys(clear)
        told = terms.model_dump(mode="json", exclude_none=True)
        values |= {name: orjson.dumps(value).decode() for name, value in told.items() if value != {}}
        if values:
            await self._pool.execute(SQL["save_terms"], batch_id, list(values), list(values.values()), at)

    async def finish(self, batch_id: UUID, round_: int) -> None:
        """Note the end of a round."""
        await self._pool.execute(SQL["finish_batch"], batch_id, round_)

    async def reopen(self, batch_id: UUID, round_: int, asked_at: datetime | None) -> Batch | None:
        """Begin another round; None if the batch is unknown, further on, or through with it."""
        if await self._pool.fetchval(SQL["reopen_batch"], batch_id, round_, asked_at) is None:
            return None
        return await self.live_batch(batch_id)

    async def is_known(self, batch_id: UUID) -> bool:
        """Whether a batch, finished or not, is kept."""
        return bool(await self._pool.fetchval(SQL["is_known"], batch_id))

    async def withdraw(self, batch_id: UUID) -> None:
        """Forget the pages of a submission that failed, and those still to come."""
        await self._pool.execute(SQL["withdraw"], batch_id)

    async def save_pages(self, pages: Iterable[Page]) -> list[tuple[UUID, str, PageSlice, list[bytes]]]:
        """Keep the segments of pages: (batch, partition, slice, items) of those that were not given out in whole.

        Those of them that were kept before are among them, since an earlier try may have been saved unseen.
        """
        segments = {
            (page.batch_id, page.page, number): (segment.partition, segment.lines)
            for page in pages
            for number, segment in enumerate(page.segments)
        }
        rows = [(*key, partition, len(lines), b"\n".join(lines)) for key, (partition, lines) in segments.items()]
        found = await self._pool.fetch(SQL["save_pages"], *_columns(rows, 6))
        if len(found) < len(rows):
            new = {(r["batch_id"], r["page"], r["segment"]) for r in found}
            found += await self._pool.fetch(SQL["pages_taken"], *_columns([k for k in segments if k not in new], 3))
        taken = {(r["batch_id"], r["page"], r["segment"]): r["taken"] for r in found}
        return [
            (key[0], partition, PageSlice(key[1], key[2], len(lines), taken[key]), lines)
            for key, (partition, lines) in segments.items()
            if key in taken
        ]

    async def waiting_slices(self, batch_id: UUID) -> list[tuple[str, PageSlice]]:
        """The slices of a batch that were not given out in whole."""
        rows = await self._pool.fetch(SQL["waiting_pages"], batch_id)
        return [(r["partition"], PageSlice(r["page"], r["segment"], r["size"], r["taken"])) for r in rows]

    async def page_items(self, keys: Sequence[PageKey]) -> dict[PageKey, list[bytes]]:
        """The items of page segments, each as a line of JSON."""
        rows = await self._pool.fetch(SQL["page_items"], *_columns(keys, 3))
        return {(r["batch_id"], r["page"], r["segment"]): r["items"].split(b"\n") for r in rows}

    async def unclaimed_segments(self, batch_id: UUID) -> list[tuple[int, int, list[bytes]]]:
        """Some page segments of a batch whose items have not claimed their keys: (page, segment, items)."""
        rows = await self._pool.fetch(SQL["unclaimed"], batch_id)
        return [(r["page"], r["segment"], r["items"].split(b"\n")) for r in rows]

    async def claim(
        self, batch: Batch, dedup: Dedup, items: Sequence[Claim], places: Sequence[tuple[int, int]]
    ) -> list[DroppedItem]:
        """In one transaction: claim keys, each once, for the items of these page segments, and record what is dropped
        for it, of this batch or of others."""
        query = SQL["claim_first" if dedup.mode == "reject" else "claim_last"]
        names = (batch.owner, batch.workload, batch.batch_id, float(dedup.ttl_s))
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(query, *names, *_columns(items, 3))
            await connection.execute(SQL["mark_claimed"], batch.batch_id, *_columns(places, 2))
        return [DroppedItem(*row) for row in rows]

    async def dropped_items(self, batch_id: UUID) -> list[DroppedItem]:
        """The items of a batch that are not to run."""
        return [DroppedItem(*row) for row in await self._pool.fetch(SQL["dropped"], batch_id)]

    async def restore_dropped(self, batch_id: UUID, ordinals: Sequence[int]) -> None:
        """Items that are to run after all."""
        await self._pool.execute(SQL["undrop"], batch_id, ordinals)

    async def save_leases(self, leases: Sequence[Lease], started: Sequence[UUID]) -> None:
        """In one statement: move the cursors, and record the chunks that go out."""
        await self._pool.execute(SQL["give"], *_lease_columns(leases, started))

    async def replace_lease(self, ended: UUID, parts: Sequence[Lease]) -> None:
        """In one transaction: chunks in place of another."""
        reported = [(part.chunk_id, ordinal) for part in parts for ordinal in part.reported]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["end_leases"], [ended])
            await connection.execute(SQL["give"], *_lease_columns(parts, []))
            await connection.execute(SQL["regive"], *_columns([_lease_state(part) for part in parts], 4))
            await connection.execute(SQL["note_reported"], *_columns(reported, 2))

    async def mark_taken(self, keys: Sequence[tuple[UUID, int, int, int]]) -> None:
        """Move cursors to the end: (batch, page, segment, size)."""
        await self._pool.execute(SQL["take"], *_columns(keys, 4))

    async def leases(self, now: float) -> list[Lease]:
        """All chunks in flight."""
        found = []
        for row in await self._pool.fetch(SQL["leases"]):
            values = dict(row)
            page, segment, first, size = (values.pop(k) for k in ("page", "segment", "first", "size"))
            reported, begun = set(values.pop("reported")), set(values.pop("begun"))
            given_at = now - values.pop("age_s")
            source: PageRange | RetryRange
            if page is None:
                rows = await self._pool.fetch(SQL["chunk_retries"], row["chunk_id"])
                source = RetryRange(row["attempt"], tuple(r["ordinal"] for r in rows), row["quarantined"])
            else:
                source = PageRange(page, segment, first, size)
            found.append(
                Lease(**values, source=source, seen_at=now, sent_at=given_at, reported=reported, started=begun)
            )
        return found

    async def save_redispatch(self, leases: Sequence[Lease]) -> None:
        """Chunks go out again: keep their fencing numbers, losses, and whether they are quarantined."""
        await self._pool.execute(SQL["regive"], *_columns([_lease_state(lease) for lease in leases], 4))

    async def save_started(self, lease: Lease, worker_id: str, ordinals: Sequence[int]) -> None:
        """Items of a chunk begin that must not run twice; only this worker begins such ones of it."""
        await self._pool.execute(SQL["begin"], lease.chunk_id, worker_id, ordinals)

    async def save_resent(self, leases: Sequence[Lease]) -> None:
        """Chunks go out again as they are."""
        await self._pool.execute(SQL["resend"], [lease.chunk_id for lease in leases])

    async def save_report(
        self,
        retries: Sequence[Retry],
        ended: Sequence[UUID],
        settled: Sequence[tuple[UUID, int]],
        reported: Sequence[tuple[UUID, int]] = (),
    ) -> None:
        """In one transaction: what is to run again, chunks that are done, items that need no row any more.

        `reported`: ordinals that a part of a report covered, each with its chunk.
        """
        if not retries and not settled and not reported:
            await self._pool.execute(SQL["end_leases"], ended)
            return
        async with self._pool.acquire() as connection, connection.transaction():
            if settled:
                await connection.execute(SQL["drop_retries"], *_columns(settled, 2))
            if retries:
                rows = [_retry(r) for r in retries]
                await connection.execute(SQL["save_retries"], *_columns(rows, 8))
            if reported:
                await connection.execute(SQL["note_reported"], *_columns(reported, 2))
            if ended:
                await connection.execute(SQL["end_leases"], ended)

    async def save_reopened(self, retries: Sequence[Retry], patched: Sequence[PatchedItem]) -> None:
        """In one transaction: items that are to run again, and those of their payloads that were patched for it."""
        rows = [_retry(r) for r in retries]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["save_patched"], *_columns(patched, 5))
            await connection.execute(SQL["save_retries"], *_columns(rows, 8))

    async def owner_of(self, batch_id: UUID) -> str | None:
        """Whose batch it is, if it is kept."""
        owner: str | None = await self._pool.fetchval(SQL["owner_of"], batch_id)
        return owner

    async def patched_items(self, batch_id: UUID, ordinals: Sequence[int]) -> list[tuple[int, str, bytes, int]]:
        """Those of the items whose payload was patched: (ordinal, partition, item, round)."""
        rows = await self._pool.fetch(SQL["patched"], batch_id, ordinals)
        return [(r["ordinal"], r["partition"], r["item"], r["round"]) for r in rows]

    async def last_page(self, batch_id: UUID) -> int:
        """The highest number of a page; -1 if none is kept."""
        return int(await self._pool.fetchval(SQL["last_page"], batch_id))

    async def first_ordinal_from(self, batch_id: UUID, page: int) -> tuple[int, int] | None:
        """The first page that is kept from a number on, with one of its ordinals."""
        row = await self._pool.fetchrow(SQL["sample"], batch_id, page)
        return None if row is None else (row["page"], ordinal_of(row["start"]))

    async def pages_from(self, batch_id: UUID, page: int, most: int) -> list[tuple[int, str, list[bytes]]]:
        """Whole pages from a number on, by segments: (page, partition, items)."""
        rows = await self._pool.fetch(SQL["pages_from"], batch_id, page, most)
        return [(r["page"], r["partition"], r["items"].split(b"\n")) for r in rows]

    async def due_retries(
        self, batches: Sequence[UUID], without: Iterable[tuple[UUID, str]], limit: int
    ) -> list[DueRetry]:
        """Items of the batches whose time has come, not those of the named partitions of a batch."""
        enough = _columns(list(without), 2)
        return [DueRetry(*row) for row in await self._pool.fetch(SQL["due_retries"], batches, *enough, limit)]

    async def next_retry(self) -> float | None:
        """Seconds until the next item's time comes."""
        seconds: float | None = await self._pool.fetchval(SQL["next_retry"])
        return seconds

    async def retry_items(self, keys: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], tuple[int, bytes]]:
        """For items that ran before: how often they waited, and the item."""
        rows = await self._pool.fetch(SQL["retry_items"], *_columns(keys, 2))
        return {(r["batch_id"], r["ordinal"]): (r["waits"], r["item"]) for r in rows}

    async def waiting_retries(self, batch_id: UUID, after: int) -> list[tuple[int, str, bytes]]:
        """Some items of a batch that wait to run again, those after an ordinal: (ordinal, partition, item)."""
        rows = await self._pool.fetch(SQL["waiting_retries"], batch_id, after)
        return [(r["ordinal"], r["partition"], r["item"]) for r in rows]

    async def drop_waiting_retries(self, batch_id: UUID, ordinals: Sequence[int]) -> None:
        """Forget items that wait to run again, but none that went out meanwhile."""
        await self._pool.execute(SQL["drop_waiting_retries"], batch_id, ordinals)

    async def delete_old_batches(self, days: float) -> int:
        """Delete all that is kept of some batches that ended long ago: how many."""
        return int(await self._pool.fetchval(SQL["forget_batches"], days))

    async def delete_orphans(self, days: float) -> int:
        """Delete some pages, and commands, of batches that never came: of how many."""
        return int(await self._pool.fetchval(SQL["forget_orphans"], days))


def _reuse(accepted: BatchAccepted) -> str | None:
    return None if accepted.reuse == Reuse() else accepted.reuse.model_dump_json(exclude_none=True)


def _batch(row: asyncpg.Record) -> Batch:
    values = dict(row)
    cause, terms, reuse = (values.pop(name) for name in ("stop_cause", "terms", "reuse"))
    return Batch(
        **values,
        stop_reason=cause,
        terms=Terms.model_validate_json(terms) if terms else Terms(),
        reuse=Reuse.model_validate_json(reuse) if reuse else None,
    )


def _lease_columns(leases: Sequence[Lease], started: Sequence[UUID]) -> list[object]:
    furthest: dict[PageKey, int] = {}
    again: list[tuple[UUID, int, UUID]] = []
    for lease in leases:
        source = lease.source
        if isinstance(source, PageRange):
            key = (lease.batch_id, source.page, source.segment)
            furthest[key] = max(source.first + source.count, furthest.get(key, 0))
        else:
            again.extend((lease.batch_id, ordinal, lease.chunk_id) for ordinal in source.ordinals)
    return [
        *_columns([_lease_row(x) for x in leases], 12),
        *_columns([(*key, upto) for key, upto in furthest.items()], 4),
        *_columns(again, 3),
        started,
        [lease.quarantined for lease in leases],
    ]


def _retry(retry: Retry) -> tuple[object, ...]:
    names = (retry.batch_id, retry.ordinal, retry.partition, retry.attempt, retry.waits)
    return (*names, retry.delay_s, retry.item, retry.quarantined)


def _lease_row(lease: Lease) -> tuple[object, ...]:
    place: tuple[int | None, int | None, int | None] = (None, None, None)
    if isinstance(lease.source, PageRange):
        place = (lease.source.page, lease.source.segment, lease.source.first)
    names = (lease.batch_id, lease.workload, lease.priority, lease.partition, lease.round, lease.attempt)
    return (lease.chunk_id, lease.fence, *names, *place, lease.source.count)


def _lease_state(lease: Lease) -> tuple[object, ...]:
    return (lease.chunk_id, lease.fence, lease.losses, lease.quarantined)


def _columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
