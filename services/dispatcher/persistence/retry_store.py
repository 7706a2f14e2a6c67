"""The table of retries: items that run again."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.item_line import readable_line
from services.dispatcher.domain.retry_policy import Retry
from services.dispatcher.persistence.statements import SQL, retry_row
from shared.postgres.pool import Pool
from shared.postgres.queries import columns


class DueRetry(NamedTuple):
    """A retry that is due."""

    batch_id: UUID
    ordinal: int
    partition: str
    attempt: int
    quarantined: bool
    bytes: int


class WaitingRetries(NamedTuple):
    """Retries of a batch in the table, those that are in memory, too, included."""

    by_partition: dict[str, tuple[int, float | None]]
    """Number of retries, and the seconds until the first is due that is not due yet, by partition."""
    total: int
    """Number of retries of all partitions."""


class RetriesAhead(NamedTuple):
    """Retries of a batch and partition in the table, those in memory included."""

    batch_id: UUID
    partition: str
    items: int
    mean_s: float
    """Mean of the seconds until they are due."""
    last_s: float
    """Seconds until the last of them is due."""


class RetryState(NamedTuple):
    """An item that runs again: its next or present attempt, when it is due, and the error of the last one."""

    attempt: int
    due_at: datetime
    error: ItemError | None


class PatchedItem(NamedTuple):
    """An item with its payload from a round on."""

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
        """Save retries and their patched payloads in one transaction."""
        rows = [retry_row(r) for r in retries]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["save_patched"], *columns(patched, 5))
            await connection.execute(SQL["save_retries"], *columns(rows, 11))

    async def due_retries(
        self, rounds: Mapping[UUID, int], without: Iterable[tuple[UUID, str]], limit: int
    ) -> list[DueRetry]:
        """Return due retries of the batches in these rounds, without those of the given partitions."""
        runnable, enough = columns(list(rounds.items()), 2), columns(list(without), 2)
        return [DueRetry(*row) for row in await self._pool.fetch(SQL["due_retries"], *runnable, *enough, limit)]

    async def next_retry(self) -> float | None:
        """Return the seconds until the next retry is due; None if there is none."""
        seconds: float | None = await self._pool.fetchval(SQL["next_retry"])
        return seconds

    async def next_retries(self, batch_ids: Sequence[UUID]) -> list[tuple[UUID, float]]:
        """Return the seconds until the next retry of each of the batches that has one."""
        rows = await self._pool.fetch(SQL["next_retries"], batch_ids)
        return [(row["batch_id"], row["seconds"]) for row in rows]

    async def retries_by_partition(self, batch_id: UUID, round_: int, most: int, partitions: int) -> WaitingRetries:
        """Return the retries of a round that wait, of which `most` are counted, by the partitions that have most."""
        rows = await self._pool.fetch(SQL["retries_by_partition"], batch_id, round_, most, partitions)
        found = {row["partition"]: (row["retries"], row["seconds"]) for row in rows}
        return WaitingRetries(found, rows[0]["all_retries"] if rows else 0)

    async def retries_ahead(self, batch_ids: Sequence[UUID], most: int) -> list[RetriesAhead]:
        """Return the retries of batches that wait in their present rounds, of which `most` are counted."""
        return [RetriesAhead(*row) for row in await self._pool.fetch(SQL["retries_ahead"], batch_ids, most)]

    async def retry_states(self, batch_id: UUID, round_: int, ordinals: Sequence[int]) -> dict[int, RetryState]:
        """Return those of the items that run again in a round, whether they wait or are in flight."""
        rows = await self._pool.fetch(SQL["retry_states"], batch_id, round_, ordinals)
        return {
            r["ordinal"]: RetryState(
                r["attempt"],
                r["due_at"],
                ItemError(code=r["error_code"], message=r["error_message"]) if r["error_code"] else None,
            )
            for r in rows
        }

    async def retrying_ordinals(
        self, batch_id: UUID, round_: int, after: int, partition: str | None, limit: int
    ) -> list[int]:
        """Return the first ordinals after one of items that wait to run again; of one partition, or of all (None)."""
        rows = await self._pool.fetch(SQL["retrying_ordinals"], batch_id, round_, after, partition, limit)
        return [row["ordinal"] for row in rows]

    async def retry_items(self, keys: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], tuple[int, bytes]]:
        """Return the number of waits and the line of items that ran before."""
        rows = await self._pool.fetch(SQL["retry_items"], *columns(keys, 2))
        return {(r["batch_id"], r["ordinal"]): (r["waits"], readable_line(r["item"], r["ordinal"])) for r in rows}

    async def waiting_retries(self, batch_id: UUID, round_: int, after: int) -> list[tuple[int, str, bytes]]:
        """Return some waiting retries of a batch up to a round, after an ordinal: (ordinal, partition, item)."""
        rows = await self._pool.fetch(SQL["waiting_retries"], batch_id, round_, after)
        return [(r["ordinal"], r["partition"], readable_line(r["item"], r["ordinal"])) for r in rows]

    async def drop_waiting_retries(self, batch_id: UUID, round_: int, ordinals: Sequence[int]) -> None:
        """Delete waiting retries up to a round, but none that were dispatched meanwhile."""
        await self._pool.execute(SQL["drop_waiting_retries"], batch_id, round_, ordinals)
