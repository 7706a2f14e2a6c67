"""Handles what ingest says of a batch: that it was accepted, that it is complete, that it is to be steered."""

from collections.abc import Callable
from datetime import datetime

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    BatchControlled,
    BatchSealed,
    BatchStopped,
    BatchWithdrawn,
    ItemsReopened,
)
from services.aggregator.domain.batch import Batch, Header
from services.aggregator.domain.counters import Tally
from services.aggregator.handlers.thresholds import judged, sources_failed, stops
from services.aggregator.persistence.outbox_message import Entry, reopened_entry
from services.aggregator.persistence.store import Store, Work
from services.aggregator.publishing.batch_changes import Telling, endings
from shared.observability.telemetry import traceparent

log = structlog.get_logger()


class ControlHandler:
    """Steers the ledger's batches. Every message may come before the outcomes, after them, or twice."""

    def __init__(self, store: Store, telling: Telling, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._telling = telling
        self._clock = clock

    async def accepted(self, message: BatchAccepted, _: Envelope) -> None:
        """Learn the header, and finish the batch if its outcomes were faster."""
        header = Header(
            message.owner,
            message.workload,
            message.accepted_at,
            message.name and message.name.replace("\x00", ""),  # which PostgreSQL does not take
            message.labels,
            traceparent(),
            message.summarize or False,
            message.unit,
            bool(message.sourced),
        )
        fresh = Batch(0, message.batch_id).accept(header, message.priority, message.total, message.terms)
        if fresh.conclude(self._clock()) == fresh and await self._store.begin(fresh):
            return
        async with self._store.locked([message.batch_id]) as work:
            before = work.batches[message.batch_id]
            learned = await judged(work, before.accept(header, message.priority, message.total, message.terms))
            after = learned.conclude(self._clock())
            if before.header is None:
                await work.save_header(after)
            saved = await self._save(work, before, after)
        if (
            after.tally.ended or after.finished
        ):  # else there is nothing to tell: ingest's reply has said that it is there
            self._announce(before, after, saved)

    async def sealed(self, message: BatchSealed, _: Envelope) -> None:
        """Learn how many items there are, and finish the batch if all have ended."""
        async with self._store.locked([message.batch_id]) as work:
            before = work.batches[message.batch_id]
            after = (await judged(work, before.seal(message.total, message.units))).conclude(self._clock())
            saved = await self._save(work, before, after)
        self._announce(before, after, saved)

    async def withdrawn(self, message: BatchWithdrawn, _: Envelope) -> None:
        """Forget a submission that failed; a batch whose header is known is beyond that."""
        await self._store.forget_stub(message.batch_id)

    async def controlled(self, message: BatchControlled, _: Envelope) -> None:
        """Pause, resume, cancel, change priority and terms, or open a new round."""
        async with self._store.locked([message.batch_id]) as work:
            before = work.batches[message.batch_id]
            if before.header is not None and before.header.owner != message.owner:
                log.warning("command of another owner ignored", batch_id=str(message.batch_id), action=message.action)
                return
            if message.action == "retry" and before.reopens(message.at) and message.round in {None, before.round}:
                after, saved = await _reopen(work, before, message, self._clock())
            elif message.action == "change":
                changed = before.change(message.at, message.priority, message.terms, message.clear)
                after = await judged(work, changed)
                saved = await self._save(work, before, after)
            else:
                after = before.steer(message.action, message.at)
                saved = await self._save(work, before, after)
        self._announce(before, after, saved)

    async def stopped(self, message: BatchStopped, _: Envelope) -> None:
        """Remember why a service stopped a round."""
        async with self._store.locked([message.batch_id]) as work:
            before = work.batches[message.batch_id]
            after = before.stop(message.cause, message.round, self._clock())
            saved = await self._save(work, before, after)
        self._announce(before, after, saved)

    async def _save(self, work: Work, before: Batch, after: Batch) -> list[Entry]:
        if after == before:
            return []
        await work.save([after])
        facts = endings([after]) if after.finished and not before.finished else []
        gone = await sources_failed(work, [after])
        return await work.post([*facts, *stops([(before, after)], self._clock()), *gone])

    def _announce(self, before: Batch, after: Batch, saved: list[Entry]) -> None:
        if after != before:
            self._telling.announce([after], saved)


async def _reopen(work: Work, before: Batch, message: BatchControlled, at: datetime) -> tuple[Batch, list[Entry]]:
    """Open a round with the items that were selected, or none when there are none."""
    removed, posted, trace = Tally(), list[Entry](), traceparent()
    async for ordinals, tally in work.remove(before, message.select, message.except_ordinals):
        removed += tally
        part = ItemsReopened(
            batch_id=before.batch_id,
            round=before.round + 1,
            ordinals=ordinals,
            patch=message.patch,
            asked_at=message.at,
        )
        posted += await work.post([reopened_entry(part, len(posted), trace)])
    after = before.reopen(removed, message.at, at) if removed.ended else before.steer("retry", message.at)
    await work.save([after])
    log.info("retry", batch_id=str(after.batch_id), round=after.round, items=removed.ended)
    return after, posted
