"""Statements of ingest on follow-up batches. Rows decide: each is claimed by one process."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.ingest.persistence", "follow_ups.sql")
LEASE = timedelta(seconds=60)
"""Time after which a follow-up whose process has not started it is taken over by another one."""
MAX_CHAINED = 10
"""Largest number of batches of a chain. A template may name itself, and each batch may have several follow-ups."""


class DueFollowUp(NamedTuple):
    """A follow-up that starts, under the id that its row keeps."""

    batch_id: UUID
    place: int
    owner: str
    form: str
    """The follow-up as JSON, which another version may have written."""
    next_batch: UUID
    version: int | None
    is_accepted: bool
    """True if the next batch was accepted, and nobody recorded it."""
    chained: int
    """Number of batches up to the one that has ended, at most `MAX_CHAINED`."""


class FollowUpRecord(NamedTuple):
    """State of a follow-up, with its next batch or the reason why there is none."""

    place: int
    template: str
    state: str
    next_batch: UUID | None
    reason: str | None


class BatchBefore(NamedTuple):
    """The batch that a batch follows."""

    batch_id: UUID
    template: str
    version: int | None


class FollowUpStore:
    """Repository of follow-ups."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, limit: int, new_id: Callable[[], UUID]) -> tuple[list[DueFollowUp], bool]:
        """Begin follow-ups that are due; True: there may be more."""
        begun: list[DueFollowUp] = []
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["claim_follow_ups"], limit, MAX_CHAINED)
            for row in rows:
                next_batch = row["next_batch"] or new_id()
                await connection.execute(_SQL["begin_follow_up"], row["batch_id"], row["place"], next_batch, LEASE)
                begun.append(DueFollowUp(**{**row, "next_batch": next_batch}))
        return begun, len(rows) == limit

    async def record_version(self, follow_up: DueFollowUp, version: int) -> None:
        """Record the version of the template, which stays when it is tried again."""
        await self._pool.execute(_SQL["record_follow_up_version"], follow_up.batch_id, follow_up.place, version)

    async def mark_paged(self, follow_up: DueFollowUp) -> None:
        """Record that the next batch is sent in parts, and keep the follow-up for this process."""
        await self._pool.execute(_SQL["mark_paged"], follow_up.batch_id, follow_up.place, LEASE)

    async def postpone(self, follow_up: DueFollowUp, pause: timedelta) -> None:
        """Try again later."""
        await self._pool.execute(_SQL["postpone_follow_up"], follow_up.batch_id, follow_up.place, pause)

    async def end(self, follow_up: DueFollowUp, state: str, reason: str | None = None) -> None:
        """Record that the batch was accepted, or why there is none."""
        await self._pool.execute(_SQL["end_follow_up"], follow_up.batch_id, follow_up.place, state, reason)

    async def follow_ups_of(self, owner: str, batch_id: UUID) -> list[FollowUpRecord]:
        """Return the follow-ups of a batch."""
        return [FollowUpRecord(**row) for row in await self._pool.fetch(_SQL["follow_ups_of"], batch_id, owner)]

    async def batch_before(self, owner: str, batch_id: UUID) -> BatchBefore | None:
        """Return the batch that a batch follows; None if it follows none."""
        row = await self._pool.fetchrow(_SQL["batch_before"], batch_id, owner)
        return BatchBefore(**row) if row else None
