"""Takes workers' reports: frees the window, learns sizes, and decides what runs again."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from batchyard_contracts.v1.flow import ItemOutcome, SettledItem
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.codecs.item import with_rerun, with_state
from services.dispatcher.codecs.report import Outcomes, Report
from services.dispatcher.dispatching.dispatch_loop import DispatchLoop
from services.dispatcher.domain.retry_policy import GiveUp, RetryDecision, decide_retry
from services.dispatcher.domain.scheduling.chunk_sizer import ChunkOutcomes
from services.dispatcher.domain.scheduling.scheduler import RetryRange
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.store import Retry, Store
from services.dispatcher.rate_limits.rate_events import RateEvents
from services.dispatcher.settlement.batch_stopper import BatchStopper
from services.dispatcher.settlement.settler import ItemSettler, SettledStatus
from services.dispatcher.state.state import Batch, DispatcherState, Lease
from shared.messaging.batch_consumer import DecodedMessage

_ADAPTIVE_DELAY_S = 1.0
"""After so long an item is tried again that was refused where the rate adapts."""
_INTERRUPTED = frozenset({"worker_stopping", "timeout", "process_died", "not_reported"})
"""Error codes of runs whose end nobody saw: the worker ended them, gave them up, or said nothing of them."""
_CIRCUIT_WAIT = 1.5
"""An item that was refused waits for so many pauses of its provider's circuit: another one tries it first."""
_NOT_REPORTED = ItemError(code="not_reported", message="The worker finished the chunk without a word on this item.")


@dataclass(slots=True)
class _Decisions:
    """What a group of reports leads to."""

    retries: list[Retry] = field(default_factory=list)
    ended: list[Lease] = field(default_factory=list)
    finished: list[tuple[UUID, int]] = field(default_factory=list)
    reported: dict[UUID, set[int]] = field(default_factory=dict)
    """By chunk: the ordinals that are new. The leases learn of them when all is saved, since a group may be tried
    again."""
    measurements: list[tuple[Lease, int, float, bool]] = field(default_factory=list)
    """Items, the seconds that they took, and whether they were the last."""
    failures: Counter[UUID] = field(default_factory=Counter)
    """By chunk: the items that are new, and failed in a way that may pass."""
    failed: dict[UUID, list[SettledItem]] = field(default_factory=dict)
    cancelled: dict[UUID, list[SettledItem]] = field(default_factory=dict)
    expired: dict[UUID, list[SettledItem]] = field(default_factory=dict)


class ReportHandler:
    """Handles `chunk.processed.v1`. A report under an old fencing number, or of no lease, is late and ignored."""

    def __init__(
        self,
        state: DispatcherState,
        store: Store,
        settler: ItemSettler,
        pages: PageCache,
        dispatch_loop: DispatchLoop,
        batch_stopper: BatchStopper,
        rate_events: RateEvents,
    ) -> None:
        self._state, self._store, self._settler, self._pages, self._dispatch_loop = (
            state,
            store,
            settler,
            pages,
            dispatch_loop,
        )
        self._batch_stopper, self._rate_events = batch_stopper, rate_events

    async def on_chunks_processed(self, received: Sequence[DecodedMessage]) -> None:
        """Decide for all of them, tell the ledger what failed for good, save, and free the window."""
        decisions = _Decisions()
        ending: set[UUID] = set()
        for report in (r.message for r in received if isinstance(r.message, Report)):
            lease = self._state.leases.get(report.chunk_id)
            if lease is not None and lease.fence == report.fence and lease.chunk_id not in ending:
                if report.final:
                    ending.add(lease.chunk_id)
                await self._decide(lease, report, decisions)
        await self._settle(decisions.failed, "failed")
        await self._settle(decisions.cancelled, "cancelled")
        await self._settle(decisions.expired, "expired")
        await self._save(decisions)
        for batch_id in {r.batch_id for r in decisions.retries}:
            batch = self._state.batches.get(batch_id)
            if batch is not None and batch.stop_status:  # while its items were saved as ones to run again
                self._batch_stopper.schedule(batch)
        self._apply(decisions)

    def _apply(self, decisions: _Decisions) -> None:
        """What is saved takes effect in memory."""
        for lease, items, busy_s, final in decisions.measurements:
            failed = decisions.failures.pop(lease.chunk_id, 0)
            lease.failures += failed
            if lease.batch_id in self._state.batches:
                fate = _chunk_outcomes(lease) if failed or final else None
                self._state.workload_queue(lease.workload).window.record_measurement(
                    lease.batch_id, lease.partition, items, busy_s, fate
                )
        for chunk_id, ordinals in decisions.reported.items():
            if known := self._state.leases.get(chunk_id):
                known.reported |= ordinals
        for lease in decisions.ended:
            self._state.release_lease(lease)
        if decisions.retries:
            self._dispatch_loop.retry_in(min(r.delay_s for r in decisions.retries))

    async def _settle(self, by_batch: dict[UUID, list[SettledItem]], status: SettledStatus) -> None:
        for batch_id, items in by_batch.items():
            if batch := self._state.batches.get(batch_id):
                await self._settler.settle(batch, status, items)

    async def _save(self, decisions: _Decisions) -> None:
        ended = {x.chunk_id for x in decisions.ended}
        reported = [(c, o) for c, ordinals in decisions.reported.items() if c not in ended for o in ordinals]
        if decisions.retries or ended or decisions.finished or reported:
            await self._store.save_report(decisions.retries, list(ended), decisions.finished, reported)

    async def _decide(self, lease: Lease, report: Report, decisions: _Decisions) -> None:
        decisions.measurements.append((lease, report.count, report.busy_s, report.final))
        if report.feedback is not None:
            now, window = time.monotonic(), self._state.workload_queue(lease.workload).window
            for limiter, change in window.record_feedback(lease.partition, report.feedback, lease.sent_at, now):
                self._rate_events.record_rate_change(lease.workload, limiter, change)
        lease.seen_at = time.monotonic()
        self._state.record_taken(lease)
        if report.final:
            decisions.ended.append(lease)
        reported = decisions.reported.setdefault(lease.chunk_id, set())
        covered = lease.reported | reported
        if report.final and report.parsed is None and report.count == lease.source.count - len(covered):
            if isinstance(lease.source, RetryRange):
                decisions.finished.extend((lease.batch_id, o) for o in lease.source.ordinals if o not in covered)
            self._record_success(lease)
            return  # all that was left has ended: no need to know which
        outcomes = await self._new_outcomes(lease, report, covered)
        reported.update(outcomes)
        batch = self._state.batches.get(lease.batch_id)
        unfinished = [outcome for outcome in outcomes.values() if outcome is not None]
        if failures := sum(_is_transient_failure(outcome) for outcome in unfinished):
            decisions.failures[lease.chunk_id] += failures
        if any(outcome is None or _is_answer(outcome) for outcome in outcomes.values()):
            self._record_success(lease)
        retried: set[int] = set()
        if unfinished and batch is not None:
            retried = await self._decide_retries(lease, batch, unfinished, decisions)
        if isinstance(lease.source, RetryRange):
            decisions.finished.extend((lease.batch_id, ordinal) for ordinal in outcomes if ordinal not in retried)

    def _record_success(self, lease: Lease) -> None:
        if limiter := self._state.workload_queue(lease.workload).window.record_success(lease.partition):
            self._rate_events.record_circuit_change(lease.workload, limiter, "closed")
            self._state.changed.set()

    def _record_refusal(
        self, lease: Lease, outcome: ItemOutcome, error: ItemError, waited: int
    ) -> RetryDecision | GiveUp:
        """By the provider's fault the item waits for it, and uses up no attempt. One that is refused again after others
        were taken is at fault itself: else it would open the circuit for ever."""
        window = self._state.workload_queue(lease.workload).window
        circuit = window.limits.limiters_of(lease.partition)[0].circuit
        called = outcome.elapsed_ms > 0  # else it was spared the call, since another one had been refused
        if called and circuit.record_item_refusal((lease.batch_id, lease.round, outcome.ordinal)):
            return GiveUp(error)
        if limiter := window.record_refusal(lease.partition, error, time.monotonic()):
            self._rate_events.record_circuit_change(lease.workload, limiter, "open")
        return RetryDecision(_CIRCUIT_WAIT * circuit.pause_s, lease.attempt, waited)

    async def _new_outcomes(self, lease: Lease, report: Report, before: set[int]) -> Outcomes:
        """What was not told before, of items of this chunk; with the last report, of all that were left."""
        open_ = set(await self._pages.ordinals(lease)) - before
        outcomes = {ordinal: outcome for ordinal, outcome in report.outcomes().items() if ordinal in open_}
        if report.final:
            left = sorted(open_ - outcomes.keys())
            outcomes |= {o: ItemOutcome(ordinal=o, status="retry", error=_NOT_REPORTED) for o in left}
        return outcomes

    async def _decide_retries(
        self, lease: Lease, batch: Batch, outcomes: Sequence[ItemOutcome], decisions: _Decisions
    ) -> set[int]:
        window = self._state.workload_queue(lease.workload).window
        retried: set[int] = set()
        rows: dict[int, tuple[int, bytes]]
        if isinstance(lease.source, RetryRange):
            waiting = await self._store.retry_items([(lease.batch_id, o.ordinal) for o in outcomes])
            rows = {ordinal: row for (_, ordinal), row in waiting.items()}
        else:
            lines = (await self._pages.items([lease]))[lease.chunk_id]
            rows = {ordinal: (0, line) for ordinal, line in lines.items()}
        for outcome in outcomes:
            if outcome.ordinal not in rows:
                continue  # it is no longer kept: it ended in another way
            waits, line = rows[outcome.ordinal]
            error = outcome.error or ItemError(code="internal_error")
            rule = batch.retry_rule(window.manifest, error.code)
            is_adaptive = bool(outcome.guessed) and window.is_adaptive(lease.partition)
            if is_adaptive:  # the rate has gone down already: no need to stand still for as long as was guessed
                outcome = outcome.model_copy(update={"delay_s": _ADAPTIVE_DELAY_S})  # noqa: PLW2901
            next_ = decide_retry(outcome, lease.attempt, waits, rule, random.random())
            if _is_refusal(outcome) and window.limits.rule_of(lease.partition):
                next_ = self._record_refusal(lease, outcome, error, waits)
            if batch.stop_status:
                await self._cancel_externally(batch, lease, line, outcome)
                _add_settled(
                    decisions.cancelled if batch.stop_status == "cancelled" else decisions.expired, lease, outcome, None
                )
                decisions.finished.append((batch.batch_id, outcome.ordinal))  # an earlier try may have saved it
            elif isinstance(next_, RetryDecision):
                item = _next_line(line, outcome)
                retried.add(outcome.ordinal)
                decisions.retries.append(
                    Retry(
                        batch.batch_id,
                        outcome.ordinal,
                        lease.partition,
                        next_.attempt,
                        next_.waits,
                        next_.delay_s,
                        item,
                        lease.quarantined and outcome.status == "retry",
                    )
                )
                if outcome.delay_s and error.scope == "provider" and not is_adaptive:
                    window.back_off(lease.partition, time.monotonic() + outcome.delay_s, error.message or error.code)
            else:
                _add_settled(decisions.failed, lease, outcome, next_.error)
        return retried

    async def _cancel_externally(self, batch: Batch, lease: Lease, line: bytes, outcome: ItemOutcome) -> None:
        """An item went on elsewhere while its batch was stopped."""
        if outcome.state is not None:
            await self._settler.cancel_externally(batch, [(lease.partition, with_state(line, outcome.state))])


def _next_line(line: bytes, outcome: ItemOutcome) -> bytes:
    """An item as its next run is given it."""
    if outcome.error is not None and outcome.error.code in _INTERRUPTED:
        return with_rerun(line)
    return with_state(line, outcome.state) if outcome.state is not None else line


def _chunk_outcomes(lease: Lease) -> ChunkOutcomes | None:
    """What a chunk's items say of its size. Those that run once more say nothing: they are the ones that failed."""
    if isinstance(lease.source, RetryRange):
        return None
    return ChunkOutcomes(lease.failures, lease.source.count, lease.sent_at, time.monotonic())


def _is_transient_failure(outcome: ItemOutcome) -> bool:
    """Whether an item failed by itself, in a way that may pass: not for a rate, nor for its provider or its worker."""
    error = outcome.error
    return outcome.status == "retry" and outcome.delay_s is None and (error is None or error.scope == "item")


def _add_settled(
    where: dict[UUID, list[SettledItem]], lease: Lease, outcome: ItemOutcome, error: ItemError | None
) -> None:
    item = SettledItem(
        ordinal=outcome.ordinal,
        custom_id=outcome.custom_id,
        attempts=lease.attempt,
        error=error,
        partition=lease.partition,
    )
    where.setdefault(lease.batch_id, []).append(item)


def _is_refusal(outcome: ItemOutcome) -> bool:
    """Whether a provider refused for a cause of its own, not for a rate."""
    error = outcome.error
    return error is not None and error.scope == "provider" and outcome.delay_s is None


def _is_answer(outcome: ItemOutcome) -> bool:
    """Whether an item that runs again was surely answered by its provider: a call that hung or broke was not."""
    return outcome.status == "continued"
