"""The ledger's tables: transactions that lock the batches they change, and the queries."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate, chain, groupby
from operator import itemgetter
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from pydantic_core import to_json

from batchyard_contracts.v1.queries import BatchesQuery, OutcomesQuery, ResultsQuery, StreamQuery
from batchyard_contracts.v1.values import Result, Selection
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.events import MAX_REOPENED_ORDINALS
from services.aggregator.domain.failure import Failure, partition_label
from services.aggregator.domain.outcome_rows import COLUMNS, Row
from services.aggregator.domain.summary import Summary
from services.aggregator.persistence.batch_cache import BatchCache
from services.aggregator.persistence.deletion_store import SQL as _DELETIONS
from services.aggregator.persistence.row_mapping import (
    batch_from_row,
    create_batch_arguments,
    header_arguments,
    record_few_row,
    save_batch_row,
    summary_from_row,
)
from shared.postgres.outbox import OutboxMessage, columns
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.aggregator.persistence")
_batch_of, _ordinal_of = itemgetter(COLUMNS.index("batch")), itemgetter(COLUMNS.index("ordinal"))
UNSUCCESSFUL = ("failed", "cancelled", "expired")
"""Statuses that a new round may replace."""


class AlreadyRecorded(Exception):
    """An outcome was recorded before; nothing was written. Use `insert_new_outcomes` instead."""


@dataclass(frozen=True, slots=True)
class FewOutcomes:
    """New outcomes of one batch, its state after them, and the messages that follow from them."""

    batch: Batch
    rows: Sequence[Row]
    messages: Sequence[OutboxMessage]


class LedgerTransaction:
    """Transaction that holds the locks of `batches` and commits when its block is left without an error."""

    def __init__(self, connection: "PoolConnectionProxy[asyncpg.Record]", batches: Sequence[Batch]) -> None:
        self.connection = connection
        self.batches = {batch.batch_id: batch for batch in batches}
        self.saved: dict[UUID, Batch] = {}
        """Saved batches as they will be after the commit."""
        self._recorded: dict[int, list[int]] = {}
        """Ordinals of inserted outcomes by batch, whose order is saved with the batch."""

    async def insert_outcomes(self, rows: Sequence[Row]) -> None:
        """Insert outcomes that were not recorded before, by COPY; raise `AlreadyRecorded` if one was.

        After the error the transaction has failed.
        """
        try:
            await self.connection.copy_records_to_table("outcomes", columns=COLUMNS, records=rows)
        except asyncpg.UniqueViolationError as error:
            raise AlreadyRecorded from error
        for key, own in groupby(rows, _batch_of):
            self._recorded.setdefault(key, []).extend(map(_ordinal_of, own))

    async def insert_new_outcomes(self, rows: Sequence[Row]) -> dict[int, OutcomeCounters]:
        """Insert the outcomes that were not recorded before, and return their counters by batch key.

        The first outcome of each item wins. This is half as fast as `insert_outcomes`.
        """
        inserted = await self.connection.fetch(_SQL["insert_new_outcomes"], *zip(*rows, strict=True))
        numbers: dict[int, Counter[str]] = {}
        for key, ordinal, status, cached in inserted:
            self._recorded.setdefault(key, []).append(ordinal)
            numbers.setdefault(key, Counter()).update((status, "cached") if cached else (status,))
        return {key: OutcomeCounters.of(counted) for key, counted in numbers.items()}

    async def save(self, batches: Sequence[Batch]) -> None:
        """Save state and counters, and the order of the outcomes that were inserted."""
        if batches:
            rows = [save_batch_row(batch) for batch in batches]
            recorded = [self._recorded.pop(batch.key, []) for batch in batches]
            await self.connection.execute(
                _SQL["save_batches"], *zip(*rows, strict=True), *_bounds(recorded), list(chain.from_iterable(recorded))
            )
        self.saved |= {batch.batch_id: replace(batch, version=batch.version + 1) for batch in batches}

    async def save_header(self, batch: Batch) -> None:
        """Save the header of the batch."""
        if batch.header is not None:
            await self.connection.execute(_SQL["save_header"], *header_arguments(batch.key, batch.header))

    async def save_summary(self, batch: Batch, summary: Summary) -> None:
        """Save the summary of the round, or the reason why there is none."""
        body = None if summary.value is None else to_json(summary.value)
        await self.connection.execute(_SQL["save_summary"], batch.key, batch.round, body, summary.error)

    async def insert_failures(self, failures: Sequence[Failure]) -> list[Failure]:
        """Insert the causes of recorded failures; return the failures that are new."""
        causes_by_item = [[one.batch, one.ordinal, one.cause.id] for one in failures]
        causes = {(one.batch, one.cause.id): one.cause for one in reversed(failures)}
        known = [(batch, c.id, c.code, c.partition, c.message, c.retryable) for (batch, _), c in causes.items()]
        rows = await self.connection.fetch(
            _SQL["insert_failures"], *zip(*causes_by_item, strict=True), *zip(*known, strict=True)
        )
        new = {(row["batch"], row["ordinal"]) for row in rows}
        return [one for one in failures if (one.batch, one.ordinal) in new]

    async def remove_outcomes(
        self, batch: Batch, select: Selection | None, except_ordinals: Sequence[int] = ()
    ) -> AsyncIterator[tuple[list[int], OutcomeCounters]]:
        """Set outcomes aside that a new round replaces; yield their ordinals in order, in parts, with counters."""
        cursor = await self.connection.cursor(
            _SQL["remove_selected"], batch.key, *_selection_arguments(select), except_ordinals
        )
        while rows := await cursor.fetch(MAX_REOPENED_ORDINALS):
            yield [row["ordinal"] for row in rows], OutcomeCounters.of(Counter(row["status"] for row in rows))
        await self.connection.execute(_SQL["delete_empty_causes"], batch.key)

    async def accept_results(self, batch: Batch, ordinals: Sequence[int], custom_ids: Sequence[str]) -> int:
        """Let items succeed, in the next round, whose results were refused and are kept: the named ones, or all.

        Returns their number.
        """
        select = _selection_arguments(Selection(ordinals=list(ordinals), custom_ids=list(custom_ids)))
        places = batch.round + 1, batch.version + 1
        accepted = await self.connection.fetchval(_SQL["accept_selected"], batch.key, *select, *places)
        await self.connection.execute(_SQL["delete_empty_causes"], batch.key)
        return int(accepted)

    async def count_rows(self, batch: Batch) -> OutcomeCounters:
        """Count the outcomes row by row."""
        rows = await self.connection.fetch(_SQL["count_outcomes"], batch.key)
        return OutcomeCounters.of([(row["status"], row["number"]) for row in rows])

    async def recorded_ordinals(self, batch: Batch, ordinals: Sequence[int]) -> set[int]:
        """Return those of the ordinals that have an outcome."""
        return {row["ordinal"] for row in await self.connection.fetch(_SQL["recorded_ordinals"], batch.key, ordinals)}

    async def source_failed(self, batch: Batch) -> bool:
        """Tell whether item 0 has ended without success."""
        return await self.connection.fetchval(_SQL["source_failed"], batch.key) is not None

    async def failed_codes(self, batch: Batch, codes: Sequence[str]) -> dict[str, int]:
        """Return the failed items of the current round by error code."""
        if batch.ended_before:
            rows = await self.connection.fetch(_SQL["failed_codes_of_round"], batch.key, codes, batch.round)
        else:
            rows = await self.connection.fetch(_SQL["failed_codes"], batch.key, codes)
        return {row["code"]: row["number"] for row in rows}

    async def mark_checked(self, batch: Batch) -> None:
        """Record that counters and rows were compared."""
        await self.connection.execute(_SQL["mark_checked"], batch.key)

    async def mark_stuck(self, batch: Batch) -> None:
        """Record that the batch is stuck until it changes."""
        await self.connection.execute(_SQL["mark_stuck"], batch.key)

    async def mark_deleted(self, batch: Batch, at: datetime, *, is_whole: bool) -> None:
        """Record that the outcomes of a batch are deleted, or all of it."""
        marked = replace(batch, outcomes_deleted_at=batch.outcomes_deleted_at or at, version=batch.version + 1)
        if is_whole:
            marked = replace(
                marked, header=None, terms_history=None, finished_at=batch.finished_at or at, is_deleted=True
            )
        await self.connection.execute(_DELETIONS["mark_deleted" if is_whole else "mark_outcomes_deleted"], batch.key)
        self.saved[batch.batch_id] = marked

    async def add_to_outbox(self, messages: Sequence[OutboxMessage]) -> list[OutboxMessage]:
        """Insert messages into the outbox; return those whose key is new."""
        if not messages:
            return []
        rows = await self.connection.fetch(_SQL["add_to_outbox"], *columns(messages))
        new = {row["key"]: row["id"] for row in rows}
        return [replace(message, id=new[message.key]) for message in messages if message.key in new]


class LedgerStore:
    """Access to the schema `aggregator`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._cache = BatchCache()

    def cached_batch(self, batch_id: UUID) -> Batch | None:
        """Return a batch as this process committed it last, if it is cached."""
        return self._cache.get(batch_id)

    async def create_batches(self, batches: Sequence[Batch]) -> set[UUID]:
        """Insert batches with their headers in one statement; return the ids of those that did not exist."""
        new = {batch.batch_id: batch for batch in batches}
        rows = [create_batch_arguments(batch, header) for batch in new.values() if (header := batch.header)]
        if not rows:
            return set()
        created = await self._pool.fetch(_SQL["create_batches"], *zip(*rows, strict=True))
        for row in created:
            self._cache.put(replace(new[row["batch_id"]], key=row["id"], changed_at=row["changed_at"]))
        return {row["batch_id"] for row in created}

    async def record_few(self, changes: Sequence[FewOutcomes]) -> dict[UUID, list[OutboxMessage]]:
        """Record outcomes of cached batches, the new states of these, and their messages, in one statement.

        Return the messages of each batch as they stand in the outbox. A batch that another process has changed is left
        out, with nothing written. Raise `AlreadyRecorded`.
        """
        rows = [row for change in changes for row in change.rows]
        messages = [message for change in changes for message in change.messages]
        batch_of_message = [change.batch.key for change in changes for _ in change.messages]
        for change in changes:
            self._cache.discard(change.batch.batch_id)
        try:
            written = await self._pool.fetch(
                _SQL["record_few"],
                *zip(*[record_few_row(change.batch) for change in changes], strict=True),
                *zip(*rows, strict=True),
                batch_of_message,
                *columns(messages),
                *_bounds([change.rows for change in changes]),
            )
        except asyncpg.UniqueViolationError as error:
            raise AlreadyRecorded from error
        changed = {row["batch"] for row in written if row["batch"] is not None}
        ids = {row["key"]: row["message"] for row in written if row["batch"] is None}
        recorded = {}
        for change in changes:
            if (batch := change.batch).key in changed:
                self._cache.put(replace(batch, version=batch.version + 1))
                recorded[batch.batch_id] = [replace(one, id=ids[one.key]) for one in change.messages]
        return recorded

    @asynccontextmanager
    async def lock(self, batch_ids: Collection[UUID]) -> AsyncIterator[LedgerTransaction]:
        """Open a transaction that locks these batches; unknown ones are created."""
        ids = list(batch_ids)
        async with self._pool.acquire() as connection:
            while True:
                async with connection.transaction():
                    rows = await connection.fetch(_SQL["lock_batches"], ids)
                    if known := len(rows) == len(ids):
                        transaction = LedgerTransaction(connection, [batch_from_row(row) for row in rows])
                        yield transaction
                if known:
                    for batch in {**transaction.batches, **transaction.saved}.values():
                        self._cache.put(batch)
                    return
                await connection.execute(_SQL["create_stubs"], sorted(ids))

    @asynccontextmanager
    async def lock_idle_batch(self, idle_s: float) -> AsyncIterator[LedgerTransaction]:
        """Open a transaction that locks one unfinished batch that is idle and not checked since, if there is one."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["lock_idle_batch"], idle_s)
            yield LedgerTransaction(connection, [batch_from_row(row) for row in rows])

    @asynccontextmanager
    async def lock_due_summary(self, at: datetime) -> AsyncIterator[LedgerTransaction]:
        """Open a transaction that locks one batch whose summary request is due, if there is one."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["lock_due_summary"], at)
            yield LedgerTransaction(connection, [batch_from_row(row) for row in rows])

    async def idle_batches(self, idle_s: float, after: int, limit: int) -> list[Batch]:
        """Return unfinished batches without a change for so many seconds, in the order of their keys after `after`."""
        return [batch_from_row(row) for row in await self._pool.fetch(_SQL["idle_batches"], idle_s, after, limit)]

    async def send_again(self, keys: Sequence[str]) -> None:
        """Publish messages of the outbox again that were published under these keys."""
        await self._pool.execute(_SQL["send_again"], keys)

    async def missing_ordinals(self, batch: Batch, first: int, limit: int) -> list[int]:
        """Return ordinals of a sealed batch, from `first` on, that have no outcome."""
        rows = await self._pool.fetch(_SQL["missing_ordinals"], batch.key, batch.total or 0, first, limit)
        return [row["ordinal"] for row in rows]

    async def delete_stub(self, batch_id: UUID) -> None:
        """Delete a batch that has no header."""
        self._cache.discard(batch_id)
        await self._pool.execute(_SQL["delete_stub"], batch_id)

    async def batches(self, query: BatchesQuery) -> list[Batch]:
        """Return an owner's batches, or those of all, in the order of their acceptance."""
        labels = {key: value.replace("\x00", "") for key, value in query.labels.items()}  # PostgreSQL refuses U+0000
        statement = "batches_of_all" if query.all_owners else "batches"
        rows = await self._pool.fetch(
            _SQL[f"{statement}_oldest_first" if query.oldest_first else statement],
            None if query.all_owners else query.owner,
            query.batch_ids,
            query.statuses or None,
            query.results or None,
            query.workload,
            query.priorities or None,
            query.name and query.name.replace("\x00", ""),
            to_json(labels).decode() if labels else None,
            query.text or None,
            query.accepted_from,
            query.accepted_before,
            query.before,
            query.after,
            query.limit,
            query.status,
            query.result,
            query.idle_s,
            to_json(query.metadata).decode() if query.metadata else None,
        )
        return [batch_from_row(row) for row in rows]

    async def owners_with_ends(self, most: int) -> list[str]:
        """Return the owners of batches that have ended."""
        return [row["owner"] for row in await self._pool.fetch(_SQL["owners_with_ends"], most)]

    async def last_ends(self, owners: Sequence[str], limit: int) -> list[Batch]:
        """Return the batches of some owners that ended last, the newest first."""
        return [batch_from_row(row) for row in await self._pool.fetch(_SQL["last_ends"], owners, limit)]

    async def failed_ends(self, owners: Sequence[str], since: datetime, counted: int, limit: int) -> list[Batch]:
        """Return batches that ended with failures or were stopped, among the newest of each owner since a time."""
        rows = await self._pool.fetch(_SQL["failed_ends"], owners, since, counted, limit)
        return [batch_from_row(row) for row in rows]

    async def end_counts(self, owners: Sequence[str], since: datetime, counted: int) -> dict[Result, int]:
        """Return the number of batches by result, among the newest of each owner since a time."""
        rows = await self._pool.fetch(_SQL["end_counts"], owners, since, counted)
        return {row["result"]: row["number"] for row in rows}

    async def summaries(self, batches: Sequence[Batch]) -> dict[int, Summary]:
        """Return the summaries of the current rounds of batches, by their keys."""
        rows = await self._pool.fetch(_SQL["summaries"], [batch.key for batch in batches])
        return {row["id"]: summary_from_row(row) for row in rows}

    async def batch_key(self, batch_id: UUID, owner: str, *, awaiting_summary: bool = False) -> int | None:
        """Return the key of a batch if it belongs to this owner and, with `awaiting_summary`, lacks its summary."""
        key: int | None = await self._pool.fetchval(_SQL["batch_key"], batch_id, owner, awaiting_summary)
        return key

    async def results(self, key: int, query: ResultsQuery, limit: int, max_bytes: int) -> list[asyncpg.Record]:
        """Return the first outcomes of a query, `limit` and `max_bytes` at most but one at least, and the next one,
        whose `is_beyond` is true, if there are more."""
        return await self._pool.fetch(_SQL["results"], key, query.after, limit, max_bytes, *result_filters(query))

    async def outcomes(self, key: int, query: OutcomesQuery, max_bytes: int) -> list[asyncpg.Record]:
        """Return the outcomes of a query without their results; if there are more, the next one follows, whose
        `is_beyond` is true."""
        if query.ordinals is not None:
            return await self._pool.fetch(_SQL["outcomes_of"], key, query.ordinals)
        only_unsuccessful = bool(query.cause or query.status not in {None, "succeeded"})
        bounds = query.after, query.limit, max_bytes
        return await self._pool.fetch(_SQL["outcome_page"], key, *bounds, query.status, query.cause, only_unsuccessful)

    async def skip_results(self, key: int, query: ResultsQuery) -> int | None:
        """Return the ordinal of the first outcome behind those that a query passes over; None if there is none."""
        found = await self._pool.fetchval(_SQL["skip_results"], key, query.after, query.skip, *result_filters(query))
        return None if found is None else int(found)

    async def selected_ordinals(self, key: int, select: Selection | None, after: int, limit: int) -> list[int]:
        """Return the ordinals of a selection above `after`."""
        rows = await self._pool.fetch(_SQL["selected_ordinals"], key, *_selection_arguments(select), after, limit)
        return [row["ordinal"] for row in rows]

    async def count_selected(self, key: int, select: Selection | None) -> int:
        """Return the number of items of a selection."""
        return int(await self._pool.fetchval(_SQL["count_selected"], key, *_selection_arguments(select)))

    async def failures(self, key: int, limit: int) -> list[asyncpg.Record]:
        """Return failed and expired items by cause."""
        return await self._pool.fetch(_SQL["failures"], key, limit)


def _bounds(parts: Sequence[Sequence[object]]) -> tuple[list[int], list[int]]:
    """Return the places, counted from 1, of the first and the last member of each part in a list of all members."""
    lasts = list(accumulate(map(len, parts)))
    return [last - len(part) + 1 for part, last in zip(parts, lasts, strict=True)], lasts


def result_filters(query: ResultsQuery | StreamQuery) -> tuple[str | None, str | None, str | None, bool]:
    """Return the filters of a query, and whether an outcome that they select cannot be a success."""
    only_unsuccessful = bool(query.cause or query.error_code or query.status not in {None, "succeeded"})
    return query.status, query.error_code, query.cause, only_unsuccessful


def _selection_arguments(select: Selection | None) -> tuple[list[str] | list[int] | None, ...]:
    """Return a selection as the arguments of the SQL function `chosen`; an empty filter selects everything."""
    selection = select or Selection()
    partitions = [partition_label(partition) for partition in selection.partitions]
    return (
        list(selection.statuses or UNSUCCESSFUL),
        *(field or None for field in (selection.causes, selection.codes, partitions)),
        *(field or None for field in (selection.ordinals, selection.custom_ids)),
    )
