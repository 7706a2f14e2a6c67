"""Carries out the decisions on a group of reports: publish first, then save, then change the memory."""

import time
from uuid import UUID

import structlog

from batchyard_contracts.v1.flow import SettledItem
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.report import Report
from services.dispatcher.domain.report_decision import ReportDecision, chunk_outcomes
from services.dispatcher.domain.retry_policy import Retry
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.rate_limits.rate_events import RateEvents
from services.dispatcher.settlement.settler import ItemSettler, SettledStatus
from services.dispatcher.state.state import DispatcherState, WorkloadQueue

log = structlog.get_logger()
_NOTHING = frozenset[int]()
_Round = tuple[UUID, int]
"""Batch and round."""


class ReportEffects:
    """The decisions on a group of reports. If the save fails, the group is decided again from the unchanged leases."""

    def __init__(self) -> None:
        self.retries: list[Retry] = []
        self._decided: list[tuple[Lease, Report, ReportDecision]] = []
        self._ended: dict[UUID, Lease] = {}
        self._covered: dict[UUID, set[int]] = {}
        """Ordinals by chunk that the group has covered so far."""
        self._finished: list[tuple[UUID, int, int]] = []
        """Batch, ordinal and round."""
        self._settled: dict[SettledStatus, dict[_Round, list[SettledItem]]] = {
            "failed": {},
            "cancelled": {},
            "expired": {},
        }
        self._cancel_elsewhere: dict[_Round, list[tuple[str, bytes]]] = {}

    def has_ended(self, lease: Lease) -> bool:
        """Tell whether an earlier report of the group ended the chunk."""
        return lease.chunk_id in self._ended

    def covered(self, lease: Lease) -> set[int] | frozenset[int]:
        """Return the ordinals that earlier reports of the group covered."""
        return self._covered.get(lease.chunk_id, _NOTHING)

    def add(self, lease: Lease, report: Report, decision: ReportDecision) -> None:
        """Add the decision on a report."""
        self._decided.append((lease, report, decision))
        if decision.ended:
            self._ended[lease.chunk_id] = lease
        if decision.covered:
            self._covered.setdefault(lease.chunk_id, set()).update(decision.covered)
        if decision.finished:
            self._finished.extend((lease.batch_id, ordinal, lease.round) for ordinal in decision.finished)
        self.retries.extend(decision.retries)
        self._add_settled(lease, "failed", decision.failed)
        self._add_settled(lease, "cancelled", decision.cancelled)
        self._add_settled(lease, "expired", decision.expired)
        if decision.cancel_elsewhere:
            self._cancel_elsewhere.setdefault((lease.batch_id, lease.round), []).extend(decision.cancel_elsewhere)

    def _add_settled(self, lease: Lease, status: SettledStatus, items: tuple[SettledItem, ...]) -> None:
        if items:
            self._settled[status].setdefault((lease.batch_id, lease.round), []).extend(items)

    async def publish(self, state: DispatcherState, settler: ItemSettler) -> None:
        """Publish the items that have ended, then the external cancels."""
        for status, by_round in self._settled.items():
            for round_, items in by_round.items():
                if batch := state.running_round(*round_):
                    await settler.settle(batch, status, items)
        for round_, lines in self._cancel_elsewhere.items():
            if batch := state.running_round(*round_):
                await settler.cancel_externally(batch, lines)

    async def save(self, stores: Stores) -> None:
        """Save everything in one transaction; may be repeated."""
        reported = [(c, o) for c, ordinals in self._covered.items() if c not in self._ended for o in ordinals]
        if self.retries or self._ended or self._finished or reported:
            await stores.leases.save_report(self.retries, list(self._ended), self._finished, reported)

    def apply(self, state: DispatcherState, rate_events: RateEvents) -> None:
        """Change the memory after the save."""
        for lease, report, decision in self._decided:
            state.leases.record_failures(lease, decision.failures)
            queue = state.workload_queue(lease.workload)
            window = queue.window
            _learn(queue, lease.partition, report, decision)
            if report.feedback is not None:
                now = time.monotonic()
                for limiter, change in window.record_feedback(lease.partition, report.feedback, lease.sent_at, now):
                    rate_events.record_rate_change(lease.workload, limiter, change)
            if lease.batch_id in state.batches:
                chunk = chunk_outcomes(decision, lease.source, lease.failures, lease.sent_at, time.monotonic())
                window.record_measurement(lease.batch_id, lease.partition, report.count, report.busy_s, chunk)
        for chunk_id, ordinals in self._covered.items():
            if known := state.leases.get(chunk_id):
                state.leases.record_reported(known, ordinals)
        for lease in self._ended.values():
            state.release_lease(lease)


def _learn(queue: WorkloadQueue, partition: str, report: Report, decision: ReportDecision) -> None:
    """Learn the durations of items for the forecasts. An error is only logged, since the report is saved."""
    again = len(decision.retries)
    again_s = sum(retry.delay_s for retry in decision.retries) / again if again else 0.0
    try:
        queue.service_times.record(partition, report.count, report.busy_s, again, again_s)
        queue.pace.record(report.count, report.busy_s)
    except Exception:
        log.exception("forecasts learned nothing from a report", partition=partition)
