"""A ledger store in memory, with transactions, and with crashes before and after the commit."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Literal
from uuid import UUID

from batchyard_contracts.v1.values import Selection
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.failure import Failure
from services.aggregator.domain.outcome_rows import Row, count_rows, status_of
from services.aggregator.domain.summary import Summary
from services.aggregator.persistence.store import AlreadyRecorded, FewOutcomes
from shared.postgres.outbox import OutboxMessage


class Crash(BaseException):
    """Simulated death of the process, which no handler of exceptions survives."""


class MemoryTransaction:
    """Transaction whose changes become visible after the commit."""

    def __init__(self, store: "MemoryStore", batches: dict[UUID, Batch]) -> None:
        self._store = store
        self.batches = batches
        self.saved: dict[UUID, Batch] = {}
        self.headers: set[UUID] = set()
        self.rows: dict[tuple[int, int], Row] = dict(store.rows)
        self.outbox: dict[str | None, OutboxMessage] = dict(store.outbox)
        self.summaries: dict[tuple[int, int], Summary] = dict(store.summaries)

    async def insert_outcomes(self, rows: Sequence[Row]) -> None:
        keys = [row[:2] for row in rows]
        if len(set(keys)) < len(keys) or any(key in self.rows for key in keys):
            raise AlreadyRecorded
        self.rows |= dict(zip(keys, rows, strict=True))

    async def insert_new_outcomes(self, rows: Sequence[Row]) -> dict[int, OutcomeCounters]:
        new: dict[int, list[Row]] = {}
        for row in rows:
            if row[:2] not in self.rows:
                self.rows[row[:2]] = row
                new.setdefault(row[0], []).append(row)
        return {key: count_rows(those) for key, those in new.items()}

    async def save(self, batches: Sequence[Batch]) -> None:
        self.saved |= {batch.batch_id: replace(batch, version=batch.version + 1) for batch in batches}

    async def save_header(self, batch: Batch) -> None:
        self.headers.add(batch.batch_id)

    async def save_summary(self, batch: Batch, summary: Summary) -> None:
        assert (batch.key, batch.round) not in self.summaries, "a round was summarized twice"
        self.summaries[batch.key, batch.round] = summary

    async def insert_failures(self, failures: Sequence[Failure]) -> list[Failure]:
        return [one for one in failures if self.rows[one.row[:2]] is one.row]

    async def remove_outcomes(
        self, batch: Batch, select: Selection | None, except_ordinals: Sequence[int] = ()
    ) -> AsyncIterator[tuple[list[int], OutcomeCounters]]:
        assert select is None
        assert not except_ordinals
        gone = {
            key: status_of(row)
            for key, row in self.rows.items()
            if key[0] == batch.key and status_of(row) in {"failed", "cancelled", "expired"}
        }
        for key in gone:
            del self.rows[key]
        if gone:
            yield sorted(ordinal for _, ordinal in gone), OutcomeCounters.of(Counter(gone.values()))

    async def add_to_outbox(self, messages: Sequence[OutboxMessage]) -> list[OutboxMessage]:
        new = [message for message in messages if message.key not in self.outbox]
        assert len(new) == len(messages), "the same fact was decided twice"
        self.outbox |= {message.key: message for message in new}
        return new


class MemoryStore:
    """Committed state. `crash` applies once: the next transaction fails before or after its commit."""

    def __init__(self) -> None:
        self.batches: dict[UUID, Batch] = {}
        self.rows: dict[tuple[int, int], Row] = {}
        self.outbox: dict[str | None, OutboxMessage] = {}
        self.summaries: dict[tuple[int, int], Summary] = {}
        self.crash: Literal["before", "after"] | None = None
        self._cache: dict[UUID, Batch] = {}
        self.fast_path_uses = 0
        """Number of times the fast path was completed."""

    def cached_batch(self, batch_id: UUID) -> Batch | None:
        return self._cache.get(batch_id)

    async def create_batches(self, batches: Sequence[Batch]) -> set[UUID]:
        new = [batch for batch in batches if batch.batch_id not in self.batches]
        if not new:
            return set()
        crash = self._crash_before()
        for batch in new:
            self.batches[batch.batch_id] = replace(batch, key=len(self.batches) + 1)
        self._crash_after(crash)
        for batch in new:
            self._cache[batch.batch_id] = self.batches[batch.batch_id]
        return {batch.batch_id for batch in new}

    async def record_few(self, changes: Sequence[FewOutcomes]) -> dict[UUID, list[OutboxMessage]]:
        current = [one for one in changes if self.batches[one.batch.batch_id].version == one.batch.version]
        transaction = MemoryTransaction(self, {})
        for change in current:
            await transaction.insert_outcomes(change.rows)
            await transaction.save([change.batch])
            await transaction.add_to_outbox(change.messages)
        crash = self._crash_before()
        self._commit(transaction)
        self._crash_after(crash)
        self._cache |= transaction.saved
        self.fast_path_uses += bool(current)
        return {change.batch.batch_id: list(change.messages) for change in current}

    @asynccontextmanager
    async def lock(self, batch_ids: Collection[UUID]) -> AsyncIterator[MemoryTransaction]:
        for batch_id in batch_ids:
            self.batches.setdefault(batch_id, Batch(len(self.batches) + 1, batch_id))
        transaction = MemoryTransaction(self, {batch_id: self.batches[batch_id] for batch_id in batch_ids})
        yield transaction
        crash = self._crash_before()
        self._commit(transaction)
        self._crash_after(crash)
        self._cache |= {batch_id: self.batches[batch_id] for batch_id in transaction.batches}

    def _crash_before(self) -> str | None:
        crash, self.crash = self.crash, None
        if crash == "before":
            raise Crash
        return crash

    def _crash_after(self, crash: str | None) -> None:
        if crash == "after":
            raise Crash

    def _commit(self, transaction: MemoryTransaction) -> None:
        for batch_id, batch in transaction.saved.items():  # the header is a statement of its own, in the tables as well
            known = self.batches[batch_id].header
            self.batches[batch_id] = replace(batch, header=batch.header if batch_id in transaction.headers else known)
        self.rows, self.outbox, self.summaries = transaction.rows, transaction.outbox, transaction.summaries

    def counted(self, batch_id: UUID) -> OutcomeCounters:
        """Counters as derived from the rows."""
        key = self.batches[batch_id].key
        return OutcomeCounters.of(Counter(status_of(row) for row in self.rows.values() if row[0] == key))
