"""Records outcomes, the hot path: many messages per transaction, including the ends of batches."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import structlog

from batchyard_contracts.v1.flow import ItemsSettled
from batchyard_contracts.v1.values import TERMINAL_STATUSES
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.failed_attempts import failed_attempts
from services.aggregator.domain.failure import Failure, find_failures
from services.aggregator.domain.outcome_rows import Row, count_rows, outcome_rows
from services.aggregator.domain.report import Report
from services.aggregator.domain.units import units_by_item
from services.aggregator.handlers.large_results import LargeResults
from services.aggregator.handlers.result_check import ResultCheck
from services.aggregator.handlers.thresholds import check_threshold, source_ended_messages, stopped_messages
from services.aggregator.persistence.attempt_store import AttemptStore
from services.aggregator.persistence.store import AlreadyRecorded, FewOutcomes, LedgerStore, LedgerTransaction
from services.aggregator.publishing.batch_changes import BatchChangePublisher, finished_messages
from services.aggregator.publishing.failure_events import FailureEvents
from services.aggregator.publishing.series_recorder import SeriesRecorder
from shared.messaging.batch_consumer import DecodedMessage
from shared.observability import metrics
from shared.observability.telemetry import span

log = structlog.get_logger()
_ended_items = metrics.counter("batchyard.items.ended", "Items with a recorded terminal outcome, by status.")
_Reports = Sequence[Report | ItemsSettled]
_MAX_FEW_ROWS, _MAX_FEW_ROWS_OF_BATCH = 1000, 100
"""Largest number of rows for the fast path, in all and of one batch; COPY writes more rows faster."""


class OutcomeHandler:
    """Handler of outcomes; counts each item once, however often and in whatever order its outcomes arrive."""

    def __init__(
        self,
        store: LedgerStore,
        batch_changes: BatchChangePublisher,
        failure_events: FailureEvents,
        clock: Callable[[], datetime],
        result_check: ResultCheck | None = None,
        series: SeriesRecorder | None = None,
        attempts: AttemptStore | None = None,
        large_results: LargeResults | None = None,
    ) -> None:
        self._store = store
        self._result_check = result_check
        self._series = series
        self._attempts = attempts
        self._large_results = large_results
        self._failure_events = failure_events
        self._batch_changes = batch_changes
        self._clock = clock

    async def on_outcomes(self, received: Sequence[DecodedMessage]) -> None:
        """Record the outcomes of these messages and the end of each batch that they complete."""
        reports: _Reports = [one.message for one in received if isinstance(one.message, Report | ItemsSettled)]
        may_be_recorded = any(one.envelope.redelivered for one in received)
        with span("record outcomes", received[0].envelope.traceparent, messages=len(received)):
            if self._result_check is not None:
                reports = await self._result_check.check(reports)
            if self._large_results is not None:
                reports = await self._large_results.store(reports)
            await self._record_all(reports, may_be_recorded=may_be_recorded)
            if self._attempts is not None and (failed := failed_attempts(reports)):
                await self._attempts.save(failed)

    async def _record_all(self, reports: _Reports, *, may_be_recorded: bool) -> None:
        if not may_be_recorded:
            try:
                if others := await self._record_few(reports):
                    await self._record(others, may_be_recorded=False)
            except AlreadyRecorded:
                log.info("outcomes received again", messages=len(reports))
            else:
                return
        await self._record(reports, may_be_recorded=True)

    async def _record_few(self, reports: _Reports) -> _Reports:
        """Record the outcomes of cached batches that had a few successes each, in one statement; return the other
        reports."""
        at = self._clock()
        by_batch: dict[UUID, list[Report | ItemsSettled]] = {}
        for report in reports:
            by_batch.setdefault(report.batch_id, []).append(report)
        changes: list[FewOutcomes] = []
        left = _MAX_FEW_ROWS
        for batch_id, own in by_batch.items():
            change = self._few_outcomes(batch_id, own, at)
            if change is not None and len(change.rows) <= left:
                changes.append(change)
                left -= len(change.rows)
        recorded = await self._store.record_few(changes) if changes else {}
        counted: list[tuple[Batch, OutcomeCounters]] = []
        rows: list[Row] = []
        for change in changes:
            if (messages := recorded.get(change.batch.batch_id)) is not None:
                self._batch_changes.publish([change.batch], messages)
                self._update_partial_progress([change.batch], by_batch[change.batch.batch_id])
                counted.append((change.batch, count_rows(change.rows)))
                rows += change.rows
        self._count(counted, rows, reports)
        return [report for report in reports if report.batch_id not in recorded]

    def _few_outcomes(self, batch_id: UUID, reports: _Reports, at: datetime) -> FewOutcomes | None:
        """Return the outcomes of a batch with its state after them; None if the general path is needed."""
        before = self._store.cached_batch(batch_id)
        if before is None:
            return None
        found = [row for report in reports for row in outcome_rows(report, before)]
        new = count_rows(found)
        after = _apply_stop_reason(before.add_outcomes(new, at), reports, at)
        if (
            not 0 < len(found) <= _MAX_FEW_ROWS_OF_BATCH
            or new.failed
            or new.expired
            or after.active_threshold
            or not after.can_use_fast_path
        ):
            return None
        after = after.finish_if_complete(at)
        return FewOutcomes(after, found, finished_messages([after]))

    async def _record(self, reports: _Reports, *, may_be_recorded: bool) -> None:
        at = self._clock()
        async with self._store.lock({report.batch_id for report in reports}) as transaction:
            units = await _new_units(transaction, reports, may_be_recorded=may_be_recorded)
            inserted, failed, rows = await self._insert(transaction, reports, may_be_recorded=may_be_recorded)
            changes = []
            for batch in transaction.batches.values():
                if batch.key in inserted:
                    new = inserted[batch.key] + OutcomeCounters(units=units.get(batch.batch_id, 0))
                    after = _apply_stop_reason(batch.add_outcomes(new, at), reports, at)
                    after = await check_threshold(transaction, after, failed=inserted[batch.key].failed > 0)
                    changes.append((batch, after.finish_if_complete(at)))
            changed = [after for _, after in changes]
            await transaction.save(changed)
            source_ended = await source_ended_messages(transaction, changed)
            messages = await transaction.add_to_outbox(
                [*finished_messages(changed), *stopped_messages(changes, at), *source_ended]
            )
        self._batch_changes.publish(changed, messages)
        self._update_partial_progress([*transaction.batches.values(), *changed], reports)
        self._count([(batch, inserted[batch.key]) for batch in changed], rows, reports)
        for batch in changed if failed else ():
            self._failure_events.add(batch, [one for one in failed if one.batch == batch.key], at)

    def _update_partial_progress(self, batches: Iterable[Batch], reports: _Reports) -> None:
        """Publish the progress of unfinished items, which have no row. Of two states of a batch the later counts."""
        for batch in {batch.batch_id: batch for batch in batches}.values():
            if relevant := [
                r for r in reports if r.batch_id == batch.batch_id and self._batch_changes.has_partial_progress(r)
            ]:
                self._batch_changes.update_partial_progress(batch, relevant)

    async def _insert(
        self, transaction: LedgerTransaction, reports: _Reports, *, may_be_recorded: bool
    ) -> tuple[dict[int, OutcomeCounters], list[Failure], list[Row]]:
        """Insert the outcomes; return their counters by batch key, the failures that are new, and all rows."""
        found: list[Row] = []
        failed: list[Failure] = []
        counters_by_batch: dict[int, OutcomeCounters] = {}
        for report in reports:
            batch: Batch = transaction.batches[report.batch_id]
            if new := outcome_rows(report, batch):
                found += new
                counters = count_rows(new)
                counters_by_batch[batch.key] = counters_by_batch.get(batch.key, OutcomeCounters()) + counters
                if counters.failed or counters.expired:
                    failed += find_failures(report, new)
        if not found:
            return {}, [], []
        if may_be_recorded:
            counters_by_batch = await transaction.insert_new_outcomes(found)
        else:
            await transaction.insert_outcomes(found)
        new_failures = await transaction.insert_failures(failed) if failed else []
        return counters_by_batch, new_failures, found

    def _count(self, changes: Sequence[tuple[Batch, OutcomeCounters]], rows: Sequence[Row], reports: _Reports) -> None:
        if self._series is not None:
            self._series.record(changes, rows, reports)
        for batch, new in changes:
            _count(batch, new)


async def _new_units(transaction: LedgerTransaction, reports: _Reports, *, may_be_recorded: bool) -> dict[UUID, int]:
    """Return the units of the outcomes that are about to be recorded, by batch."""
    units_by_batch = units_by_item(reports, transaction.batches)
    if may_be_recorded:
        for batch_id, units in units_by_batch.items():
            for ordinal in await transaction.recorded_ordinals(transaction.batches[batch_id], list(units)):
                del units[ordinal]
    return {batch_id: sum(units.values()) for batch_id, units in units_by_batch.items()}


def _apply_stop_reason(batch: Batch, reports: _Reports, at: datetime) -> Batch:
    """Return the batch, stopped for the reason that its settled items give."""
    for report in reports:
        if isinstance(report, ItemsSettled) and report.reason and report.batch_id == batch.batch_id:
            batch = batch.stop(report.reason, report.round, at)
    return batch


def _count(batch: Batch, new: OutcomeCounters) -> None:
    workload = batch.header.workload if batch.header else "unknown"
    for status in TERMINAL_STATUSES:
        if number := getattr(new, status):
            _ended_items.add(number, {"workload": workload, "status": status})
