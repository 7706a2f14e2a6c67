"""The table of leases: chunks in flight."""

from collections.abc import Sequence
from uuid import UUID

from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.retry_policy import Retry
from services.dispatcher.domain.scheduling.partition_queue import PageRange, RetryRange
from services.dispatcher.persistence.statements import SQL, PageKey, retry_row
from shared.postgres.pool import Pool
from shared.postgres.queries import columns


class LeaseStore:
    """Reads and writes leases. Every write may be repeated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def leases(self, now: float) -> list[Lease]:
        """Return all chunks in flight."""
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

    async def save_leases(self, leases: Sequence[Lease], started: Sequence[UUID]) -> None:
        """Save dispatched chunks and move the cursors of their slices in one statement."""
        await self._pool.execute(SQL["save_leases"], *_lease_columns(leases, started))

    async def replace_lease(self, ended: UUID, parts: Sequence[Lease]) -> None:
        """Replace a chunk by others in one transaction."""
        reported = [(part.chunk_id, ordinal) for part in parts for ordinal in part.reported]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["end_leases"], [ended])
            await connection.execute(SQL["save_leases"], *_lease_columns(parts, []))
            await connection.execute(SQL["save_redispatch"], *columns([_lease_state(part) for part in parts], 4))
            await connection.execute(SQL["save_reported"], *columns(reported, 2))

    async def save_redispatch(self, leases: Sequence[Lease]) -> None:
        """Save fences, losses and quarantine of chunks that are dispatched again."""
        await self._pool.execute(SQL["save_redispatch"], *columns([_lease_state(lease) for lease in leases], 4))

    async def save_resent(self, leases: Sequence[Lease]) -> None:
        """Save that chunks are sent again unchanged."""
        await self._pool.execute(SQL["save_resent"], [lease.chunk_id for lease in leases])

    async def save_started(self, lease: Lease, worker_id: str, ordinals: Sequence[int]) -> None:
        """Save that at-most-once items of a chunk start; only this worker may start such items of it."""
        await self._pool.execute(SQL["save_started"], lease.chunk_id, worker_id, ordinals)

    async def save_report(
        self,
        retries: Sequence[Retry],
        ended: Sequence[UUID],
        settled: Sequence[tuple[UUID, int, int]],
        reported: Sequence[tuple[UUID, int]] = (),
    ) -> None:
        """Save the effects of a report in one transaction: retries, ended chunks, items whose retry row is deleted.

        `settled`: (batch, ordinal, round); the rows of later rounds stay. `reported`: ordinals that a partial report
        covered, each with its chunk.
        """
        if not retries and not settled and not reported:
            await self._pool.execute(SQL["end_leases"], ended)
            return
        async with self._pool.acquire() as connection, connection.transaction():
            if settled:
                await connection.execute(SQL["drop_retries"], *columns(settled, 3))
            if retries:
                rows = [retry_row(r) for r in retries]
                await connection.execute(SQL["save_retries"], *columns(rows, 11))
            if reported:
                await connection.execute(SQL["save_reported"], *columns(reported, 2))
            if ended:
                await connection.execute(SQL["end_leases"], ended)

    async def end(self, chunk_ids: Sequence[UUID]) -> None:
        """Delete leases without remaining items, or whose round is over, with the retries that are left in them."""
        await self._pool.execute(SQL["forget_chunks"], chunk_ids)

    async def end_items(self, lease: Lease, ordinals: Sequence[int]) -> None:
        """End a lease whose items have ended: in one transaction, with their retries."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["drop_retries"], *columns(_retry_keys(lease, ordinals), 3))
            await connection.execute(SQL["end_leases"], [lease.chunk_id])

    async def fail_items(self, lease: Lease, ordinals: Sequence[int]) -> None:
        """Save failed items of a lease that continues without them, in one transaction."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["drop_retries"], *columns(_retry_keys(lease, ordinals), 3))
            await connection.execute(SQL["save_reported"], *columns([(lease.chunk_id, o) for o in ordinals], 2))

    async def save_reported(self, reported: Sequence[tuple[UUID, int]]) -> None:
        """Save items that need not be reported again: (chunk, ordinal)."""
        await self._pool.execute(SQL["save_reported"], *columns(reported, 2))


def _retry_keys(lease: Lease, ordinals: Sequence[int]) -> list[tuple[UUID, int, int]]:
    return [(lease.batch_id, ordinal, lease.round) for ordinal in ordinals]


def _lease_columns(leases: Sequence[Lease], started: Sequence[UUID]) -> list[object]:
    furthest: dict[PageKey, int] = {}
    again: list[tuple[UUID, int, int, UUID]] = []
    for lease in leases:
        source = lease.source
        if isinstance(source, PageRange):
            key = (lease.batch_id, source.page, source.segment)
            furthest[key] = max(source.first + source.count, furthest.get(key, 0))
        else:
            again.extend((*key, lease.chunk_id) for key in _retry_keys(lease, source.ordinals))
    return [
        *columns([_lease_row(x) for x in leases], 12),
        *columns([(*key, upto) for key, upto in furthest.items()], 4),
        *columns(again, 4),
        started,
        [lease.quarantined for lease in leases],
    ]


def _lease_row(lease: Lease) -> tuple[object, ...]:
    place: tuple[int | None, int | None, int | None] = (None, None, None)
    if isinstance(lease.source, PageRange):
        place = (lease.source.page, lease.source.segment, lease.source.first)
    names = (lease.batch_id, lease.workload, lease.priority, lease.partition, lease.round, lease.attempt)
    return (lease.chunk_id, lease.fence, *names, *place, lease.source.count)


def _lease_state(lease: Lease) -> tuple[object, ...]:
    return (lease.chunk_id, lease.fence, lease.losses, lease.quarantined)
