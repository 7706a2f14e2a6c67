"""The table of retries: items that are to run again."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from services.dispatcher.domain.retry_policy import Retry
from services.dispatcher.persistence.statements import SQL, columns, retry_row
from shared.postgres.pool import Pool


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


class RetryStore:
    """Reads and writes retries. Every write may be repeated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def save_reopened(self, retries: Sequence[Retry], patched: Sequence[PatchedItem]) -> None:
        """In one transaction: items that are to run again, and those of their payloads that were patched for it."""
        rows = [retry_row(r) for r in retries]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["save_patched"], *columns(patched, 5))
            await connection.execute(SQL["save_retries"], *columns(rows, 8))

    async def due_retries(
        self, batches: Sequence[UUID], without: Iterable[tuple[UUID, str]], limit: int
    ) -> list[DueRetry]:
        """Items of the batches whose time has come, not those of the named partitions of a batch."""
        enough = columns(list(without), 2)
        return [DueRetry(*row) for row in await self._pool.fetch(SQL["due_retries"], batches, *enough, limit)]

    async def next_retry(self) -> float | None:
        """Seconds until the next item's time comes."""
        seconds: float | None = await self._pool.fetchval(SQL["next_retry"])
        return seconds

    async def retry_items(self, keys: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], tuple[int, bytes]]:
        """For items that ran before: how often they waited, and the item."""
        rows = await self._pool.fetch(SQL["retry_items"], *columns(keys, 2))
        return {(r["batch_id"], r["ordinal"]): (r["waits"], r["item"]) for r in rows}

    async def waiting_retries(self, batch_id: UUID, after: int) -> list[tuple[int, str, bytes]]:
        """Some items of a batch that wait to run again, those after an ordinal: (ordinal, partition, item)."""
        rows = await self._pool.fetch(SQL["waiting_retries"], batch_id, after)
        return [(r["ordinal"], r["partition"], r["item"]) for r in rows]

    async def drop_waiting_retries(self, batch_id: UUID, ordinals: Sequence[int]) -> None:
        """Forget items that wait to run again, but none that went out meanwhile."""
        await self._pool.execute(SQL["drop_waiting_retries"], batch_id, ordinals)

    async def save(self, retries: Sequence[Retry]) -> None:
        """Save items that are to run again."""
        await self._pool.execute(SQL["save_retries"], *columns([retry_row(r) for r in retries], 8))
