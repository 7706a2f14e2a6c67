"""Handles the reports of workers on their chunks."""

import random
import time
from collections.abc import Mapping, Sequence, Set

from services.dispatcher.dispatching.dispatch_loop import DispatchLoop
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.report import Report
from services.dispatcher.domain.report_decision import (
    Outcomes,
    Provider,
    ReportDecision,
    decide,
    decide_complete,
    is_complete,
    new_outcomes,
)
from services.dispatcher.domain.scheduling.partition_queue import RetryRange
from services.dispatcher.outcomes.report_effects import ReportEffects
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.rate_limits.rate_events import RateEvents
from services.dispatcher.settlement.batch_stopper import BatchStopper
from services.dispatcher.settlement.settler import ItemSettler
from services.dispatcher.state.state import DispatcherState
from shared.messaging.batch_consumer import DecodedMessage


class ReportHandler:
    """Handles `chunk.processed.v1`. A report with an old fence, or without a lease, is late and ignored."""

    def __init__(
        self,
        state: DispatcherState,
        stores: Stores,
        settler: ItemSettler,
        pages: PageCache,
        dispatch_loop: DispatchLoop,
        batch_stopper: BatchStopper,
        rate_events: RateEvents,
    ) -> None:
        self._state, self._stores, self._settler, self._pages = state, stores, settler, pages
        self._dispatch_loop, self._batch_stopper, self._rate_events = dispatch_loop, batch_stopper, rate_events

    async def on_chunks_processed(self, received: Sequence[DecodedMessage]) -> None:
        """Decide on a group of reports, publish the items that have ended, save, and change the memory.

        Circuit breakers and pauses take effect before the next report is decided, everything else when all is saved.
        """
        effects = ReportEffects()
        for report in (r.message for r in received if isinstance(r.message, Report)):
            lease = self._state.leases.get(report.chunk_id)
            if lease is not None and lease.fence == report.fence and not effects.has_ended(lease):
                self._state.leases.mark_seen(lease, time.monotonic())
                self._state.record_taken(lease)
                decision = await self._decide(lease, report, effects.covered(lease))
                if decision is not None:
                    effects.add(lease, report, decision)
        await effects.publish(self._state, self._settler)
        await effects.save(self._stores)
        for batch_id in {r.batch_id for r in effects.retries}:
            batch = self._state.batches.get(batch_id)
            if batch is not None and batch.stop_status:  # stopped while its items were saved as retries
                self._batch_stopper.schedule(batch)
        effects.apply(self._state, self._rate_events)
        if effects.retries:
            self._dispatch_loop.retry_in(min(r.delay_s for r in effects.retries))

    async def _decide(self, lease: Lease, report: Report, covered_in_group: Set[int]) -> ReportDecision | None:
        """Load, decide and update the circuit breaker; None if the lease has changed meanwhile."""
        covered = lease.reported | covered_in_group if covered_in_group else lease.reported
        source = lease.source
        known = source.ordinals if isinstance(source, RetryRange) else lease.ordinals
        if is_complete(final=report.final, ended=report.ended, ordinals=known, covered=covered):
            decision = decide_complete(lease.source, covered)
        else:
            ordinals = await self._pages.ordinals(lease)
            outcomes = new_outcomes(report.outcomes(), ordinals, covered, final=report.final)
            rows = await self._rows(lease, outcomes)
            if not self._state.leases.is_current(lease, report.fence):
                return None
            decision = decide(
                lease,
                outcomes,
                rows,
                self._state.batch_of(lease),
                self._provider(lease, outcomes),
                self._state.workload_queue(lease.workload).window.manifest,
                time.monotonic(),
                random.random,
                final=report.final,
            )
        self._apply_at_once(lease, decision)
        return decision

    async def _rows(self, lease: Lease, outcomes: Outcomes) -> Mapping[int, tuple[int, bytes]]:
        """Return the number of waits and the line of the unfinished items that are still stored."""
        unfinished = [ordinal for ordinal, outcome in outcomes.items() if outcome is not None]
        if not unfinished or self._state.batch_of(lease) is None:
            return {}
        if isinstance(lease.source, RetryRange):
            waiting = await self._stores.retries.retry_items([(lease.batch_id, ordinal) for ordinal in unfinished])
            return {ordinal: row for (_, ordinal), row in waiting.items()}
        lines = (await self._pages.items([lease]))[lease.chunk_id]
        return {ordinal: (0, lines[ordinal]) for ordinal in unfinished if ordinal in lines}

    def _provider(self, lease: Lease, outcomes: Outcomes) -> Provider:
        window = self._state.workload_queue(lease.workload).window
        circuit, rule = window.limits.limiters_of(lease.partition)[0].circuit, window.limits.rule_of(lease.partition)
        refused = {}
        if rule is not None:
            for ordinal, outcome in outcomes.items():
                if outcome is not None and (at := circuit.refused_at(_refusal_key(lease, ordinal))) is not None:
                    refused[ordinal] = at
        return Provider(
            is_adaptive=window.is_adaptive(lease.partition),
            rule=rule,
            state=circuit.state,
            pause_s=circuit.pause_s,
            close_count=circuit.close_count,
            refused=refused,
        )

    def _apply_at_once(self, lease: Lease, decision: ReportDecision) -> None:
        """Update the circuit breaker and the backoff of the destination. Idempotent, so it may precede the save."""
        window, now = self._state.workload_queue(lease.workload).window, time.monotonic()
        if decision.answered and (limiter := window.record_success(lease.partition)):
            self._rate_events.record_circuit_change(lease.workload, limiter, "closed")
            self._state.changed.set()
        for refusal in decision.refusals:
            if refusal.ordinal is not None:
                circuit = window.limits.limiters_of(lease.partition)[0].circuit
                circuit.record_item_refusal(_refusal_key(lease, refusal.ordinal), at_fault=refusal.error is None)
            if refusal.error is not None and (limiter := window.record_refusal(lease.partition, refusal.error, now)):
                self._rate_events.record_circuit_change(lease.workload, limiter, "open")
        if decision.pause is not None:
            window.back_off(lease.partition, *decision.pause)


def _refusal_key(lease: Lease, ordinal: int) -> tuple[object, ...]:
    return (lease.batch_id, lease.round, ordinal)
