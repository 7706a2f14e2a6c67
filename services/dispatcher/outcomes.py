"""Takes workers' reports: frees the window, learns sizes, and decides what runs again."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import orjson

from batchyard_contracts.v1.flow import ChunkProcessed, ItemOutcome, SettledItem
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.chunks import Pages
from services.dispatcher.domain.retry import RunAgain, after
from services.dispatcher.domain.scheduler import Again
from services.dispatcher.pump import Pump
from services.dispatcher.settlement import Settlement
from services.dispatcher.store import Retry, Store
from services.dispatcher.yard import Batch, Lease, Yard
from shared.amqp.stream import Received

_NOT_REPORTED = ItemError(code="not_reported", message="The worker finished the chunk without a word on this item.")


@dataclass(slots=True)
class _Decisions:
    """What a group of reports leads to."""

    retries: list[Retry] = field(default_factory=list)
    done: list[Lease] = field(default_factory=list)
    settled: list[tuple[UUID, int]] = field(default_factory=list)
    failed: dict[UUID, list[SettledItem]] = field(default_factory=dict)
    cancelled: dict[UUID, list[SettledItem]] = field(default_factory=dict)


class Outcomes:
    """Handles `chunk.processed.v1`. A report under an old fencing number, or of no lease, is late and ignored."""

    def __init__(self, yard: Yard, store: Store, settlement: Settlement, pages: Pages, pump: Pump) -> None:
        self._yard, self._store, self._settlement, self._pages, self._pump = yard, store, settlement, pages, pump

    async def processed(self, received: Sequence[Received]) -> None:
        """Decide for all of them, tell the ledger what failed for good, save, and free the window."""
        decisions = _Decisions()
        ending: set[UUID] = set()
        for message in (r.message for r in received if isinstance(r.message, ChunkProcessed)):
            lease = self._yard.leases.get(message.chunk_id)
            if lease is not None and lease.fence == message.fence and lease.chunk_id not in ending:
                if message.final:
                    ending.add(lease.chunk_id)
                await self._decide(lease, message, decisions)
        for kind, by_batch in (("failed", decisions.failed), ("cancelled", decisions.cancelled)):
            for batch_id, items in by_batch.items():
                if batch := self._yard.batches.get(batch_id):
                    await self._settlement.settle(batch, "failed" if kind == "failed" else "cancelled", items)
        if decisions.retries or decisions.done or decisions.settled:
            await self._store.report(decisions.retries, [x.chunk_id for x in decisions.done], decisions.settled)
        for lease in decisions.done:
            self._yard.release(lease)
        if decisions.retries:
            self._pump.retry_in(min(r.delay_s for r in decisions.retries))

    async def _decide(self, lease: Lease, message: ChunkProcessed, decisions: _Decisions) -> None:
        if lease.batch_id in self._yard.batches:
            window = self._yard.line(lease.workload).window
            window.measured(lease.batch_id, lease.partition, len(message.outcomes), message.busy_ms / 1000)
        lease.seen_at = time.monotonic()
        outcomes = message.outcomes
        multiple = not message.final or lease.reported
        if multiple:
            outcomes = [o for o in outcomes if o.ordinal not in lease.reported]
            lease.reported.update(o.ordinal for o in outcomes)
        reported = len(lease.reported) if multiple else len(outcomes)
        if message.final:
            decisions.done.append(lease)
            if reported < lease.source.count:
                outcomes = [*outcomes, *await self._missing(lease, {o.ordinal for o in outcomes} | lease.reported)]
        batch = self._yard.batches.get(lease.batch_id)
        unfinished = [o for o in outcomes if o.status in {"retry", "continued"}]
        if unfinished and batch is not None:
            await self._run_again(lease, batch, unfinished, decisions)
        if isinstance(lease.source, Again):
            again = {r.ordinal for r in decisions.retries if r.batch_id == lease.batch_id}
            decisions.settled.extend((lease.batch_id, o.ordinal) for o in outcomes if o.ordinal not in again)

    async def _run_again(
        self, lease: Lease, batch: Batch, outcomes: Sequence[ItemOutcome], decisions: _Decisions
    ) -> None:
        window = self._yard.line(lease.workload).window
        lines = {orjson.loads(x)["ordinal"]: x for x in (await self._pages.items([lease]))[lease.chunk_id]}
        waits: dict[tuple[UUID, int], tuple[int, bytes]] = {}
        if isinstance(lease.source, Again):
            waits = await self._store.retry_items([(lease.batch_id, o.ordinal) for o in outcomes])
        for outcome in outcomes:
            line = lines.get(outcome.ordinal)
            if line is None:
                continue  # not an item of this chunk
            error = outcome.error or ItemError(code="internal_error")
            waited = waits.get((lease.batch_id, outcome.ordinal), (0, b""))[0]
            next_ = after(outcome, lease.attempt, waited, window.manifest.retry_rule(error.code), random.random())
            if batch.cancelled:
                _note(decisions.cancelled, batch, outcome, lease.attempt, None)
            elif isinstance(next_, RunAgain):
                item = _with_state(line, outcome) if outcome.state is not None else line
                decisions.retries.append(
                    Retry(
                        batch.batch_id,
                        outcome.ordinal,
                        lease.partition,
                        next_.attempt,
                        next_.waits,
                        next_.delay_s,
                        item,
                    )
                )
                if outcome.delay_s and error.scope == "provider":
                    window.park(lease.partition, time.monotonic() + outcome.delay_s)
            else:
                _note(decisions.failed, batch, outcome, lease.attempt, next_.error)

    async def _missing(self, lease: Lease, reported: set[int]) -> list[ItemOutcome]:
        lines = (await self._pages.items([lease]))[lease.chunk_id]
        ordinals = {orjson.loads(line)["ordinal"] for line in lines} - reported
        return [ItemOutcome(ordinal=o, status="retry", error=_NOT_REPORTED) for o in sorted(ordinals)]


def _note(
    where: dict[UUID, list[SettledItem]], batch: Batch, outcome: ItemOutcome, attempts: int, error: ItemError | None
) -> None:
    item = SettledItem(ordinal=outcome.ordinal, custom_id=outcome.custom_id, attempts=attempts, error=error)
    where.setdefault(batch.batch_id, []).append(item)


def _with_state(line: bytes, outcome: ItemOutcome) -> bytes:
    return orjson.dumps(orjson.loads(line) | {"state": outcome.state})
