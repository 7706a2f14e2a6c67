"""The ledger's tables as dictionaries, with transactions, and crashes before and after the commit."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Literal
from uuid import UUID

from batchyard_contracts.v1.values import Selection
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.counters import Tally
from services.aggregator.domain.failure import Failure
from services.aggregator.domain.outcome_rows import Row, status_of, tally_of
from services.aggregator.domain.summary import Summary
from services.aggregator.persistence.outbox_message import Entry
from services.aggregator.persistence.store import AlreadyRecorded


class Crash(Exception):
    """The process dies here."""


class MemoryWork:
    """Changes that are visible to others after the commit."""

    def __init__(self, store: "MemoryStore", batches: dict[UUID, Batch]) -> None:
        self._store = store
        self.batches = batches
        self.saved: dict[UUID, Batch] = {}
        self.headers: set[UUID] = set()
        self.rows: dict[tuple[int, int], Row] = dict(store.rows)
        self.outbox: dict[str, Entry] = dict(store.outbox)
        self.summaries: dict[tuple[int, int], Summary] = dict(store.summaries)

    async def insert(self, rows: Sequence[Row]) -> None:
        keys = [row[:2] for row in rows]
        if len(set(keys)) < len(keys) or any(key in self.rows for key in keys):
            raise AlreadyRecorded
        self.rows |= dict(zip(keys, rows, strict=True))

    async def insert_new(self, rows: Sequence[Row]) -> dict[int, Tally]:
        new: dict[int, list[Row]] = {}
        for row in rows:
            if row[:2] not in self.rows:
                self.rows[row[:2]] = row
                new.setdefault(row[0], []).append(row)
        return {key: tally_of(those) for key, those in new.items()}

    async def save(self, batches: Sequence[Batch]) -> None:
        self.saved |= {batch.batch_id: replace(batch, version=batch.version + 1) for batch in batches}

    async def save_header(self, batch: Batch) -> None:
        self.headers.add(batch.batch_id)

    async def save_summary(self, batch: Batch, summary: Summary) -> None:
        assert (batch.key, batch.round) not in self.summaries, "a round was summarized twice"
        self.summaries[batch.key, batch.round] = summary

    async def insert_failures(self, failures: Sequence[Failure]) -> list[Failure]:
        return [one for one in failures if self.rows[one.row[:2]] is one.row]

    async def remove(
        self, batch: Batch, select: Selection | None, without: Sequence[int] = ()
    ) -> AsyncIterator[tuple[list[int], Tally]]:
        assert select is None
        assert not without
        gone = {
            key: status_of(row)
            for key, row in self.rows.items()
            if key[0] == batch.key and status_of(row) in {"failed", "cancelled", "expired"}
        }
        for key in gone:
            del self.rows[key]
        if gone:
            yield sorted(ordinal for _, ordinal in gone), Tally.of(Counter(gone.values()))

    async def post(self, entries: Sequence[Entry]) -> list[Entry]:
        new = [entry for entry in entries if entry.key not in self.outbox]
        assert len(new) == len(entries), "the same fact was decided twice"
        self.outbox |= {entry.key: entry for entry in new}
        return new


class MemoryStore:
    """What was committed. `crash` strikes once: the next transaction fails before or after its commit."""

    def __init__(self) -> None:
        self.batches: dict[UUID, Batch] = {}
        self.rows: dict[tuple[int, int], Row] = {}
        self.outbox: dict[str, Entry] = {}
        self.summaries: dict[tuple[int, int], Summary] = {}
        self.crash: Literal["before", "after"] | None = None
        self._recent: dict[UUID, Batch] = {}
        self.short_ways = 0
        """How often the short way was gone to its end."""

    def recent(self, batch_id: UUID) -> Batch | None:
        return self._recent.get(batch_id)

    async def begin(self, batch: Batch) -> bool:
        if batch.batch_id in self.batches:
            return False
        crash = self._crash_before()
        self.batches[batch.batch_id] = replace(batch, key=len(self.batches) + 1)
        self._crash_after(crash)
        self._recent[batch.batch_id] = self.batches[batch.batch_id]
        return True

    async def record(self, batch: Batch, rows: Sequence[Row], entries: Sequence[Entry]) -> bool:
        if self.batches[batch.batch_id].version != batch.version:
            return False
        work = MemoryWork(self, {})
        await work.insert(rows)
        await work.save([batch])
        await work.post(entries)
        crash = self._crash_before()
        self._commit(work)
        self._crash_after(crash)
        self._recent |= work.saved
        self.short_ways += 1
        return True

    @asynccontextmanager
    async def locked(self, batch_ids: Collection[UUID]) -> AsyncIterator[MemoryWork]:
        for batch_id in batch_ids:
            self.batches.setdefault(batch_id, Batch(len(self.batches) + 1, batch_id))
        work = MemoryWork(self, {batch_id: self.batches[batch_id] for batch_id in batch_ids})
        yield work
        crash = self._crash_before()
        self._commit(work)
        self._crash_after(crash)
        self._recent |= {batch_id: self.batches[batch_id] for batch_id in work.batches}

    def _crash_before(self) -> str | None:
        crash, self.crash = self.crash, None
        if crash == "before":
            raise Crash
        return crash

    def _crash_after(self, crash: str | None) -> None:
        if crash == "after":
            raise Crash

    def _commit(self, work: MemoryWork) -> None:
        for batch_id, batch in work.saved.items():  # the header is a statement of its own, in the tables as well
            known = self.batches[batch_id].header
            self.batches[batch_id] = replace(batch, header=batch.header if batch_id in work.headers else known)
        self.rows, self.outbox, self.summaries = work.rows, work.outbox, work.summaries

    def counted(self, batch_id: UUID) -> Tally:
        """What the rows say, whatever the counters say."""
        key = self.batches[batch_id].key
        return Tally.of(Counter(status_of(row) for row in self.rows.values() if row[0] == key))
