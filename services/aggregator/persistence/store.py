"""The ledger's tables: transactions that hold the locks of the batches they change, and the questions asked of them."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from pydantic_core import from_json, to_json

from batchyard_contracts.v1.values import Selection
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.counters import Tally
from services.aggregator.domain.events import REOPENED_AT_ONCE
from services.aggregator.domain.failure import Failure
from services.aggregator.domain.outcome_rows import COLUMNS, Row
from services.aggregator.domain.summary import Summary
from services.aggregator.persistence.batch_cache import Recent
from services.aggregator.persistence.outbox_message import Entry
from services.aggregator.persistence.row_mapping import batch_of, beginning_of, course_of, header_of, state_of
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.aggregator.persistence")
UNSUCCESSFUL = ("failed", "cancelled", "expired")
"""The statuses that a new round may replace."""
GRACE_S = 5.0
"""For so long an outbox entry belongs to the process that wrote it."""


class AlreadyRecorded(Exception):
    """One of the outcomes was there before: nothing was written, `insert_new` sorts it out."""


class Work:
    """A transaction that holds the locks of `batches`. It commits when its block is left without an error."""

    def __init__(self, connection: "PoolConnectionProxy[asyncpg.Record]", batches: Sequence[Batch]) -> None:
        self._connection = connection
        self.batches = {batch.batch_id: batch for batch in batches}
        self.saved: dict[UUID, Batch] = {}
        """As they will be once this is committed."""

    async def insert(self, rows: Sequence[Row]) -> None:
        """Write outcomes none of which was recorded before, by COPY; else raises `AlreadyRecorded`, and the whole
        unit of work has failed."""
        try:
            await self._connection.copy_records_to_table("outcomes", columns=COLUMNS, records=rows)
        except asyncpg.UniqueViolationError as error:
            raise AlreadyRecorded from error

    async def insert_new(self, rows: Sequence[Row]) -> dict[int, Tally]:
        """Write those outcomes that were not recorded before; the first of each item wins. Returns what was written,
        by batch key. Half as fast as `insert`."""
        inserted = await self._connection.fetch(
            _SQL["insert_new_outcomes"], *([row[place] for row in rows] for place in range(len(COLUMNS)))
        )
        written: dict[int, list[tuple[str, int]]] = {}
        for row in inserted:
            written.setdefault(row["batch"], []).append((row["status"], row["number"]))
        return {key: Tally.of(numbers) for key, numbers in written.items()}

    async def save(self, batches: Sequence[Batch]) -> None:
        """Write state and counters."""
        if batches:
            await self._connection.executemany(_SQL["save_batch"], [state_of(batch) for batch in batches])
        self.saved |= {batch.batch_id: replace(batch, version=batch.version + 1) for batch in batches}

    async def save_header(self, batch: Batch) -> None:
        """Write what ingest said of the batch."""
        if batch.header is not None:
            await self._connection.execute(_SQL["save_header"], *header_of(batch.key, batch.header))

    async def save_summary(self, batch: Batch, summary: Summary) -> None:
        """Write the summary of the round, or why there is none."""
        body = None if summary.value is None else to_json(summary.value)
        await self._connection.execute(_SQL["save_summary"], batch.key, batch.round, body, summary.error)

    async def insert_failures(self, failures: Sequence[Failure]) -> list[Failure]:
        """Write the causes of failures whose outcomes are recorded; returns those that were not there before."""
        told = [[one.batch, one.ordinal, one.cause.id] for one in failures]
        causes = {(one.batch, one.cause.id): one.cause for one in reversed(failures)}
        known = [(batch, c.id, c.code, c.partition, c.message, c.retryable) for (batch, _), c in causes.items()]
        rows = await self._connection.fetch(
            _SQL["insert_failures"], *zip(*told, strict=True), *zip(*known, strict=True)
        )
        new = {(row["batch"], row["ordinal"]) for row in rows}
        return [one for one in failures if (one.batch, one.ordinal) in new]

    async def remove(
        self, batch: Batch, select: Selection | None, without: Sequence[int] = ()
    ) -> AsyncIterator[tuple[list[int], Tally]]:
        """Delete outcomes that a new round replaces; gives their ordinals in order, in lots, each with its tally."""
        cursor = await self._connection.cursor(_SQL["remove_chosen"], batch.key, *_chosen(select), without)
        while rows := await cursor.fetch(REOPENED_AT_ONCE):
            yield [row["ordinal"] for row in rows], Tally.of(Counter(row["status"] for row in rows))
        await self._connection.execute(_SQL["forget_causes"], batch.key)

    async def count(self, batch: Batch) -> Tally:
        """Count the outcomes row by row."""
        rows = await self._connection.fetch(_SQL["count_outcomes"], batch.key)
        return Tally.of([(row["status"], row["number"]) for row in rows])

    async def recorded(self, batch: Batch, ordinals: Sequence[int]) -> set[int]:
        """Those of these items that have an outcome already."""
        return {row["ordinal"] for row in await self._connection.fetch(_SQL["recorded"], batch.key, ordinals)}

    async def source_failed(self, batch: Batch) -> bool:
        """Whether item 0 has ended without success."""
        return await self._connection.fetchval(_SQL["source_failed"], batch.key) is not None

    async def failed_codes(self, batch: Batch, codes: Sequence[str]) -> dict[str, int]:
        """Failed items of the current round by error code."""
        if batch.ended_before:
            rows = await self._connection.fetch(_SQL["failed_codes_of_round"], batch.key, codes, batch.round)
        else:
            rows = await self._connection.fetch(_SQL["failed_codes"], batch.key, codes)
        return {row["code"]: row["number"] for row in rows}

    async def mark_checked(self, batch: Batch) -> None:
        """Remember that counters and rows were compared."""
        await self._connection.execute(_SQL["mark_checked"], batch.key)

    async def post(self, entries: Sequence[Entry]) -> list[Entry]:
        """Put messages into the outbox; returns those that were not there before."""
        if not entries:
            return []
        rows = await self._connection.fetch(_SQL["post"], *_entry_columns(entries), GRACE_S)
        new = {row["key"] for row in rows}
        return [entry for entry in entries if entry.key in new]


class Store:
    """The entrance to the tables."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._recent = Recent()

    def recent(self, batch_id: UUID) -> Batch | None:
        """A batch as this process knew it last."""
        return self._recent.get(batch_id)

    async def begin(self, batch: Batch) -> bool:
        """Write a batch with its header, in one statement; False if something was known of it before."""
        if batch.header is None:
            return False
        row = await self._pool.fetchrow(_SQL["begin_batch"], *beginning_of(batch, batch.header))
        if row is not None:
            self._recent.keep(replace(batch, key=row["id"], changed_at=row["changed_at"]))
        return row is not None

    async def record(self, batch: Batch, rows: Sequence[Row], entries: Sequence[Entry]) -> bool:
        """In one statement: what `Work` does by `insert`, `save` and `post`, for a few outcomes of a recent batch that
        is now as given. False, and nothing done, if it was changed by another process. Raises `AlreadyRecorded`."""
        outcomes = [[row[place] for row in rows] for place in range(len(COLUMNS))]
        self._recent.forget(batch.batch_id)
        try:
            found = await self._pool.fetchval(
                _SQL["record_few"], *course_of(batch), *outcomes, *_entry_columns(entries), GRACE_S
            )
        except asyncpg.UniqueViolationError as error:
            raise AlreadyRecorded from error
        if found is not None:
            self._recent.keep(replace(batch, version=batch.version + 1))
        return found is not None

    @asynccontextmanager
    async def locked(self, batch_ids: Collection[UUID]) -> AsyncIterator[Work]:
        """Lock these batches; one that was unknown comes into being."""
        ids = list(batch_ids)
        async with self._pool.acquire() as connection:
            while True:
                async with connection.transaction():
                    rows = await connection.fetch(_SQL["lock_batches"], ids)
                    if known := len(rows) == len(ids):
                        work = Work(connection, [batch_of(row) for row in rows])
                        yield work
                if known:
                    for batch in {**work.batches, **work.saved}.values():
                        self._recent.keep(batch)
                    return
                await connection.execute(_SQL["create_stubs"], sorted(ids))

    @asynccontextmanager
    async def locked_quiet(self, quiet_s: float) -> AsyncIterator[Work]:
        """Lock one unfinished batch that had no change for a while and was not checked since, if there is one."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["lock_quiet_batch"], quiet_s)
            yield Work(connection, [batch_of(row) for row in rows])

    @asynccontextmanager
    async def locked_due_summary(self, at: datetime) -> AsyncIterator[Work]:
        """Lock one batch whose summary is to be asked for, if there is one."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["lock_due_summary"], at)
            yield Work(connection, [batch_of(row) for row in rows])

    @asynccontextmanager
    async def overdue(self, limit: int) -> AsyncIterator[list[Entry]]:
        """Outbox entries that whoever wrote them did not publish; left without an error they count as sent. Two
        processes never get the same entry."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["overdue"], limit)
            entries = [Entry(**row) for row in rows]
            yield entries
            if entries:
                await connection.execute(_SQL["mark_sent"], [entry.key for entry in entries])

    async def forget_stub(self, batch_id: UUID) -> None:
        """Delete what is known of a batch that has no header."""
        self._recent.forget(batch_id)
        await self._pool.execute(_SQL["forget_stub"], batch_id)

    async def mark_sent(self, keys: Sequence[str]) -> None:
        """Remember that the broker has these messages."""
        await self._pool.execute(_SQL["mark_sent"], keys)

    async def forget_sent(self) -> None:
        """Delete what was published a week ago."""
        await self._pool.execute(_SQL["forget_sent"])

    async def batches(
        self,
        owner: str,
        batch_ids: Sequence[UUID] | None,
        status: str | None,
        workload: str | None,
        before: UUID | None,
        limit: int,
    ) -> list[Batch]:
        """An owner's batches, newest first."""
        rows = await self._pool.fetch(_SQL["batches"], owner, batch_ids, status, workload, before, limit)
        return [batch_of(row) for row in rows]

    async def summaries(self, batches: Sequence[Batch]) -> dict[int, Summary]:
        """The summaries of the current rounds of batches, by their keys."""
        rows = await self._pool.fetch(_SQL["summaries"], [batch.key for batch in batches])
        return {row["id"]: Summary(from_json(row["summary"] or b"null"), row["error"]) for row in rows}

    async def key_of(self, batch_id: UUID, owner: str) -> int | None:
        """The key of a batch, if it is this owner's."""
        key: int | None = await self._pool.fetchval(_SQL["key_of"], batch_id, owner)
        return key

    async def results(
        self, key: int, after: int, limit: int, status: str | None, error_code: str | None, most_bytes: int
    ) -> list[asyncpg.Record]:
        """Outcomes with an ordinal above `after`, cut after `most_bytes`; `found` in each says how many there were."""
        rare = error_code is not None or status not in {None, "succeeded"}
        query = _SQL["unsuccessful_results" if rare else "results"]
        return await self._pool.fetch(query, key, after, limit, status, error_code, most_bytes)

    async def selected(self, key: int, select: Selection | None, after: int, limit: int) -> list[int]:
        """The ordinals of a selection above `after`."""
        rows = await self._pool.fetch(_SQL["chosen"], key, *_chosen(select), after, limit)
        return [row["ordinal"] for row in rows]

    async def count_selected(self, key: int, select: Selection | None) -> int:
        """How many items a selection has."""
        return int(await self._pool.fetchval(_SQL["count_chosen"], key, *_chosen(select)))

    async def failures(self, key: int, limit: int) -> list[asyncpg.Record]:
        """Failed and expired items by cause."""
        return await self._pool.fetch(_SQL["failures"], key, limit)


def _entry_columns(entries: Sequence[Entry]) -> list[list[Any]]:
    return [[getattr(entry, name) for entry in entries] for name in Entry.__slots__]


def _chosen(select: Selection | None) -> tuple[list[str] | list[int] | None, ...]:
    """A selection as the arguments of `chosen`: none of a kind is any."""
    wanted = select or Selection()
    return (
        list(wanted.statuses or UNSUCCESSFUL),
        *(field or None for field in (wanted.causes, wanted.codes, wanted.partitions)),
        *(field or None for field in (wanted.ordinals, wanted.custom_ids)),
    )
