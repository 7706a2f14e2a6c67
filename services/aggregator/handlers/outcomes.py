"""Records outcomes, the hot path: many messages, one transaction, and whatever ends with it."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import structlog

from batchyard_contracts.v1.flow import ItemsSettled
from batchyard_contracts.v1.values import TERMINAL_STATUSES
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.counters import Tally
from services.aggregator.domain.failure import Failure, failures
from services.aggregator.domain.outcome_rows import Row, rows, tally_of
from services.aggregator.domain.report import Report
from services.aggregator.domain.units import units_told
from services.aggregator.handlers.thresholds import judged, sources_failed, stops
from services.aggregator.persistence.store import AlreadyRecorded, Store, Work
from services.aggregator.publishing.batch_changes import Telling, endings
from services.aggregator.publishing.failure_events import FailureNews
from shared.messaging.batch_consumer import Received
from shared.observability import metrics
from shared.observability.telemetry import span

log = structlog.get_logger()
_ended = metrics.counter("batchyard.items.ended", "Items with a terminal outcome on record, by status.")
_Reports = Sequence[Report | ItemsSettled]
_FEW = 100
"""More rows than that are written faster by COPY."""


class OutcomesHandler:
    """Counts each item once, however often and in whatever order its outcomes are told."""

    def __init__(self, store: Store, telling: Telling, news: FailureNews, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._news = news
        self._telling = telling
        self._clock = clock

    async def record(self, received: Sequence[Received]) -> None:
        """Record the outcomes of these messages, and the end of the batches that end with them."""
        reports = [one.message for one in received if isinstance(one.message, Report | ItemsSettled)]
        doubtful = any(one.envelope.redelivered for one in received)
        with span("record outcomes", received[0].envelope.traceparent, messages=len(received)):
            if not doubtful:
                try:
                    if not await self._record_few(reports):
                        await self._record(reports, doubtful=False)
                except AlreadyRecorded:
                    log.info("outcomes told twice", messages=len(reports))
                else:
                    return
            await self._record(reports, doubtful=True)

    async def _record_few(self, reports: _Reports) -> bool:
        """The short way for a few good outcomes of one batch that is known here; False if the long one is needed."""
        at, (first, *others) = self._clock(), reports
        before = self._store.recent(first.batch_id)
        if before is None or any(report.batch_id != first.batch_id for report in others):
            return False
        found = [row for report in reports for row in rows(report, before)]
        new = tally_of(found)
        after = _stopped(before.record(new, at), reports, at)
        if not 0 < len(found) <= _FEW or new.failed or new.expired or after.threshold or not after.plain:
            return False
        after = after.conclude(at)
        entries = endings([after])
        if not await self._store.record(after, found, entries):
            return False
        self._telling.announce([after], entries)
        self._hear([after], reports)
        _count(after, new)
        return True

    async def _record(self, reports: _Reports, *, doubtful: bool) -> None:
        at = self._clock()
        async with self._store.locked({report.batch_id for report in reports}) as work:
            units = await _new_units(work, reports, doubtful=doubtful)
            inserted, failed = await self._insert(work, reports, doubtful=doubtful)
            changes = []
            for batch in work.batches.values():
                if batch.key in inserted:
                    new = inserted[batch.key] + Tally(units=units.get(batch.batch_id, 0))
                    after = _stopped(batch.record(new, at), reports, at)
                    after = await judged(work, after, failed=inserted[batch.key].failed > 0)
                    changes.append((batch, after.conclude(at)))
            changed = [after for _, after in changes]
            await work.save(changed)
            gone = await sources_failed(work, changed)
            posted = await work.post([*endings(changed), *stops(changes, at), *gone])
        self._telling.announce(changed, posted)
        self._hear([*work.batches.values(), *changed], reports)
        for batch in changed:
            _count(batch, inserted[batch.key])
        for batch in changed if failed else ():
            self._news.note(batch, [one for one in failed if one.batch == batch.key], at)

    def _hear(self, batches: Iterable[Batch], reports: _Reports) -> None:
        """How far items are that go on: they have no row. Of two states of a batch the later one counts."""
        for batch in {batch.batch_id: batch for batch in batches}.values():
            if said := [r for r in reports if r.batch_id == batch.batch_id and self._telling.hears(r)]:
                self._telling.hear(batch, said)

    async def _insert(self, work: Work, reports: _Reports, *, doubtful: bool) -> tuple[dict[int, Tally], list[Failure]]:
        """What was recorded, and those failures among it that are new."""
        found: list[Row] = []
        failed: list[Failure] = []
        tallies: dict[int, Tally] = {}
        for report in reports:
            batch: Batch = work.batches[report.batch_id]
            if new := rows(report, batch):
                found += new
                tally = tally_of(new)
                tallies[batch.key] = tallies.get(batch.key, Tally()) + tally
                if tally.failed or tally.expired:
                    failed += failures(report, new)
        if not found:
            return {}, []
        if doubtful:
            tallies = await work.insert_new(found)
        else:
            await work.insert(found)
        return tallies, await work.insert_failures(failed) if failed else []


async def _new_units(work: Work, reports: _Reports, *, doubtful: bool) -> dict[UUID, int]:
    """Units of what is about to be recorded, by batch."""
    told = units_told(reports, work.batches)
    if doubtful:
        for batch_id, units in told.items():
            for ordinal in await work.recorded(work.batches[batch_id], list(units)):
                del units[ordinal]
    return {batch_id: sum(units.values()) for batch_id, units in told.items()}


def _stopped(batch: Batch, reports: _Reports, at: datetime) -> Batch:
    """The batch, with the cause that some of its items ended for."""
    for report in reports:
        if isinstance(report, ItemsSettled) and report.cause and report.batch_id == batch.batch_id:
            batch = batch.stop(report.cause, report.round, at)
    return batch


def _count(batch: Batch, new: Tally) -> None:
    workload = batch.header.workload if batch.header else "unknown"
    for status in TERMINAL_STATUSES:
        if number := getattr(new, status):
            _ended.add(number, {"workload": workload, "status": status})
