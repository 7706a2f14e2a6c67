"""The promises of a dispatcher, held against its tables and against the messages that it sends and receives.

The model knows from the tables which reports are in time, so a dispatcher that believes a late one is found out. A
round is named by its batch and its number.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from batchyard_contracts.v1.flow import ChunkProcessed, ItemsReopened, ItemsSettled
from batchyard_contracts.v1.work import ChunkReady
from services.dispatcher.domain.item_line import ordinal_of
from shared.postgres.pool import Pool

_Round = tuple[UUID, int]
_ENDED = {"succeeded", "failed", "cancelled"}
_EFFECTIVE = {
    "batches": "SELECT batches.*, steering.priority, paused, cancelled_at, stop_cause FROM batches LEFT JOIN steering "
    "USING (batch_id) ORDER BY batch_id",
    "pages": "SELECT batch_id, page, segment, taken FROM pages ORDER BY 1, 2, 3",
    "leases": "SELECT * FROM leases ORDER BY chunk_id",
    "retries": "SELECT * FROM retries ORDER BY batch_id, ordinal",
}


class PipelineModel:
    """Items that have ended, have started or are to run, and the fence of each chunk."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._fences: dict[UUID, int] = {}
        self._resent: set[UUID] = set()
        self._ended: defaultdict[_Round, set[int]] = defaultdict(set)
        """Items with an outcome that the dispatcher has taken note of."""
        self._started: defaultdict[_Round, set[int]] = defaultdict(set)
        """Items that must not run twice, that have started and that no report covers yet."""
        self._reopened: defaultdict[_Round, set[int]] = defaultdict(set)
        self._holders: dict[tuple[UUID, int], str] = {}
        self._finished: dict[UUID, int] = {}

    async def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return what the tables say about batches and items."""
        return {name: [tuple(row) for row in await self._pool.fetch(sql)] for name, sql in _EFFECTIVE.items()}

    async def lease(self, chunk_id: UUID, fence: int) -> dict[str, Any] | None:
        """Return the row of a chunk in flight; None if it has ended or has another fence."""
        row = await self._pool.fetchrow("SELECT * FROM leases WHERE chunk_id = $1 AND fence = $2", chunk_id, fence)
        return dict(row) if row else None

    async def round_of(self, batch_id: UUID) -> int:
        """Return the round of a batch; 0 if it is not stored."""
        return int(await self._pool.fetchval("SELECT round FROM batches WHERE batch_id = $1", batch_id) or 0)

    def check_dispatched(self, chunk: ChunkReady, *, is_successor: bool) -> None:
        """Check a chunk that was sent. `is_successor`: by another dispatcher than the chunk was sent by before."""
        last = self._fences.get(chunk.chunk_id)
        if last is not None and chunk.fence == last:
            assert is_successor, "a chunk is sent again without another fence"
            assert chunk.chunk_id not in self._resent, "a chunk is sent unchanged a second time"
            self._resent.add(chunk.chunk_id)
        assert last is None or chunk.fence >= last, "a fence is used again"
        self._fences[chunk.chunk_id] = chunk.fence
        assert chunk.round > self._finished.get(chunk.batch_id, 0), "nothing is dispatched after the end"
        ordinals, round_ = {item.ordinal for item in chunk.items}, (chunk.batch_id, chunk.round)
        assert not ordinals & self._ended[round_], "an item runs again after it has ended"
        assert not ordinals & self._started[round_], "an item that must not run twice is sent after it has started"

    def record_report(self, report: ChunkProcessed, lease: dict[str, Any]) -> None:
        """Record that a report on a lease was handled."""
        round_ = (report.batch_id, report.round)
        new = [outcome for outcome in report.outcomes if outcome.ordinal not in lease["reported"]]
        self._ended[round_].update(outcome.ordinal for outcome in new if outcome.status in _ENDED)
        self._started[round_].difference_update(outcome.ordinal for outcome in new)

    def record_settled(self, settled: ItemsSettled) -> None:
        """Record that the dispatcher ended items itself."""
        self._ended[settled.batch_id, settled.round].update(item.ordinal for item in settled.items)

    def record_reopened(self, message: ItemsReopened) -> None:
        """Record that items run again in a new round."""
        self._reopened[message.batch_id, message.round].update(message.ordinals)

    def record_finished(self, batch_id: UUID, round_: int) -> None:
        """Record that the dispatcher knows the end of a round."""
        self._finished[batch_id] = max(round_, self._finished.get(batch_id, 0))

    def record_permit(
        self, chunk: ChunkReady, worker_id: str, ordinals: Iterable[int], lease: dict[str, Any] | None
    ) -> None:
        """Check a start permit that was granted, and record that the items start. `lease`: as it was before."""
        assert lease is not None, "a start is permitted for a chunk that another worker has"
        holder = self._holders.setdefault((chunk.chunk_id, chunk.fence), worker_id)
        assert holder == worker_id, "two workers may start items of one chunk"
        round_ = (chunk.batch_id, chunk.round)
        self._started[round_].update(set(ordinals) - set(lease["reported"]))

    async def check_items(self) -> None:
        """Each item of an unfinished round waits, is in flight or waits for its retry, in one place, or has ended."""
        rounds = {
            row["batch_id"]: row["round"] for row in await self._pool.fetch("SELECT batch_id, round FROM batches")
        }
        to_run, stored = await self._places(rounds)
        for batch_id, round_ in rounds.items():
            places, ended = to_run[batch_id], self._ended[batch_id, round_]
            twice = {ordinal: found for ordinal, found in places.items() if len(found) > 1}
            assert not twice, f"items wait in two places: {twice}"
            if round_ <= self._finished.get(batch_id, 0):
                continue
            expected = stored[batch_id] if round_ == 1 else self._reopened[batch_id, round_]
            assert expected <= places.keys() | ended, f"items are lost: {expected - places.keys() - ended}"

    async def _places(self, rounds: dict[UUID, int]) -> tuple[Any, Any]:
        """Return by batch the places in which each item is to run, and the items that are stored."""
        to_run: defaultdict[UUID, defaultdict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        stored: defaultdict[UUID, set[int]] = defaultdict(set)
        lines: dict[tuple[UUID, int, int], list[int]] = {}
        for row in await self._pool.fetch("SELECT batch_id, page, segment, taken, items FROM pages"):
            ordinals = [ordinal_of(line) for line in row["items"].split(b"\n")]
            lines[row["batch_id"], row["page"], row["segment"]] = ordinals
            stored[row["batch_id"]].update(ordinals)
            for ordinal in ordinals[row["taken"] :]:
                to_run[row["batch_id"]][ordinal].append("page")
        retries = await self._pool.fetch("SELECT batch_id, ordinal, round, chunk_id FROM retries")
        of_chunk: defaultdict[UUID, list[int]] = defaultdict(list)
        for row in retries:
            if row["chunk_id"] is not None:
                of_chunk[row["chunk_id"]].append(row["ordinal"])
            elif row["round"] == rounds.get(row["batch_id"]):
                to_run[row["batch_id"]][row["ordinal"]].append("retry")
        for row in await self._pool.fetch("SELECT * FROM leases"):
            if row["round"] != rounds.get(row["batch_id"]):
                continue
            if row["page"] is None:
                ordinals = of_chunk[row["chunk_id"]]
            else:
                place = (row["batch_id"], row["page"], row["segment"])
                ordinals = lines[place][row["first"] : row["first"] + row["size"]]
            for ordinal in set(ordinals) - set(row["reported"]):
                to_run[row["batch_id"]][ordinal].append(f"chunk {row['chunk_id']}")
        return to_run, stored
