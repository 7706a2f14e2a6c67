"""Takes workers' reports: frees the window, learns sizes, and decides what runs again."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from batchyard_contracts.v1.flow import ItemOutcome, SettledItem
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.codecs.item import cut_off, with_state
from services.dispatcher.codecs.report import Report, Told
from services.dispatcher.dispatching.dispatch_loop import Pump
from services.dispatcher.domain.retry_policy import GiveUp, RunAgain, after
from services.dispatcher.domain.scheduling.chunk_sizer import Fate
from services.dispatcher.domain.scheduling.scheduler import Again
from services.dispatcher.persistence.page_cache import Pages
from services.dispatcher.persistence.store import Retry, Store
from services.dispatcher.rate_limits.rate_events import Pacing
from services.dispatcher.settlement.batch_stopper import Stops
from services.dispatcher.settlement.settler import Settlement, Status
from services.dispatcher.state.state import Batch, Lease, Yard
from shared.messaging.batch_consumer import Received

_FOLLOWING_S = 1.0
"""After so long an item is tried again that was refused where the rate adapts."""
_BROKEN_OFF = frozenset({"worker_stopping", "timeout", "process_died", "not_reported"})
"""Error codes of runs whose end nobody saw: the worker ended them, gave them up, or said nothing of them."""
_BEHIND = 1.5
"""An item that was refused waits for so many pauses of its provider's circuit: another one tries it first."""
_NOT_REPORTED = ItemError(code="not_reported", message="The worker finished the chunk without a word on this item.")


@dataclass(slots=True)
class _Decisions:
    """What a group of reports leads to."""

    retries: list[Retry] = field(default_factory=list)
    done: list[Lease] = field(default_factory=list)
    settled: list[tuple[UUID, int]] = field(default_factory=list)
    reported: dict[UUID, set[int]] = field(default_factory=dict)
    """By chunk: the ordinals that are new. The leases learn of them when all is saved, since a group may be tried
    again."""
    measured: list[tuple[Lease, int, float, bool]] = field(default_factory=list)
    """Items, the seconds that they took, and whether they were the last."""
    passing: Counter[UUID] = field(default_factory=Counter)
    """By chunk: the items that are new, and failed in a way that may pass."""
    failed: dict[UUID, list[SettledItem]] = field(default_factory=dict)
    cancelled: dict[UUID, list[SettledItem]] = field(default_factory=dict)
    expired: dict[UUID, list[SettledItem]] = field(default_factory=dict)


class Outcomes:
    """Handles `chunk.processed.v1`. A report under an old fencing number, or of no lease, is late and ignored."""

    def __init__(
        self, yard: Yard, store: Store, settlement: Settlement, pages: Pages, pump: Pump, stops: Stops, pacing: Pacing
    ) -> None:
        self._yard, self._store, self._settlement, self._pages, self._pump = yard, store, settlement, pages, pump
        self._stops, self._pacing = stops, pacing

    async def processed(self, received: Sequence[Received]) -> None:
        """Decide for all of them, tell the ledger what failed for good, save, and free the window."""
        decisions = _Decisions()
        ending: set[UUID] = set()
        for report in (r.message for r in received if isinstance(r.message, Report)):
            lease = self._yard.leases.get(report.chunk_id)
            if lease is not None and lease.fence == report.fence and lease.chunk_id not in ending:
                if report.final:
                    ending.add(lease.chunk_id)
                await self._decide(lease, report, decisions)
        await self._settle(decisions.failed, "failed")
        await self._settle(decisions.cancelled, "cancelled")
        await self._settle(decisions.expired, "expired")
        await self._save(decisions)
        for batch_id in {r.batch_id for r in decisions.retries}:
            batch = self._yard.batches.get(batch_id)
            if batch is not None and batch.stopped:  # while its items were saved as ones to run again
                self._stops.settle(batch)
        self._apply(decisions)

    def _apply(self, decisions: _Decisions) -> None:
        """What is saved takes effect in memory."""
        for lease, items, busy_s, final in decisions.measured:
            failed = decisions.passing.pop(lease.chunk_id, 0)
            lease.failed += failed
            if lease.batch_id in self._yard.batches:
                fate = _fate(lease) if failed or final else None
                self._yard.line(lease.workload).window.measured(lease.batch_id, lease.partition, items, busy_s, fate)
        for chunk_id, ordinals in decisions.reported.items():
            if known := self._yard.leases.get(chunk_id):
                known.reported |= ordinals
        for lease in decisions.done:
            self._yard.release(lease)
        if decisions.retries:
            self._pump.retry_in(min(r.delay_s for r in decisions.retries))

    async def _settle(self, by_batch: dict[UUID, list[SettledItem]], status: Status) -> None:
        for batch_id, items in by_batch.items():
            if batch := self._yard.batches.get(batch_id):
                await self._settlement.settle(batch, status, items)

    async def _save(self, decisions: _Decisions) -> None:
        ended = {x.chunk_id for x in decisions.done}
        reported = [(c, o) for c, ordinals in decisions.reported.items() if c not in ended for o in ordinals]
        if decisions.retries or ended or decisions.settled or reported:
            await self._store.report(decisions.retries, list(ended), decisions.settled, reported)

    async def _decide(self, lease: Lease, report: Report, decisions: _Decisions) -> None:
        decisions.measured.append((lease, report.count, report.busy_s, report.final))
        if report.felt is not None:
            now, window = time.monotonic(), self._yard.line(lease.workload).window
            for throttle, change in window.felt(lease.partition, report.felt, lease.given_at, now):
                self._pacing.changed(lease.workload, throttle, change)
        lease.seen_at = time.monotonic()
        self._yard.has_left(lease)
        if report.final:
            decisions.done.append(lease)
        known = decisions.reported.setdefault(lease.chunk_id, set())
        before = lease.reported | known
        if report.final and report.read is None and report.count == lease.source.count - len(before):
            if isinstance(lease.source, Again):
                decisions.settled.extend((lease.batch_id, o) for o in lease.source.ordinals if o not in before)
            self._answered(lease)
            return  # all that was left has ended: no need to know which
        told = await self._news(lease, report, before)
        known.update(told)
        batch = self._yard.batches.get(lease.batch_id)
        unfinished = [outcome for outcome in told.values() if outcome is not None]
        if passing := sum(_may_pass(outcome) for outcome in unfinished):
            decisions.passing[lease.chunk_id] += passing
        if any(outcome is None or _is_answer(outcome) for outcome in told.values()):
            self._answered(lease)
        again: set[int] = set()
        if unfinished and batch is not None:
            again = await self._run_again(lease, batch, unfinished, decisions)
        if isinstance(lease.source, Again):
            decisions.settled.extend((lease.batch_id, ordinal) for ordinal in told if ordinal not in again)

    def _answered(self, lease: Lease) -> None:
        if throttle := self._yard.line(lease.workload).window.answered(lease.partition):
            self._pacing.circuit(lease.workload, throttle, "closed")
            self._yard.changed.set()

    def _refused(self, lease: Lease, outcome: ItemOutcome, error: ItemError, waited: int) -> RunAgain | GiveUp:
        """By the provider's fault the item waits for it, and uses up no attempt. One that is refused again after others
        were taken is at fault itself: else it would open the circuit for ever."""
        window = self._yard.line(lease.workload).window
        circuit = window.limits.of(lease.partition)[0].circuit
        called = outcome.elapsed_ms > 0  # else it was spared the call, since another one had been refused
        if called and circuit.refused((lease.batch_id, lease.round, outcome.ordinal)):
            return GiveUp(error)
        if throttle := window.refused(lease.partition, error, time.monotonic()):
            self._pacing.circuit(lease.workload, throttle, "open")
        return RunAgain(_BEHIND * circuit.pause_s, lease.attempt, waited)

    async def _news(self, lease: Lease, report: Report, before: set[int]) -> Told:
        """What was not told before, of items of this chunk; with the last report, of all that were left."""
        open_ = set(await self._pages.ordinals(lease)) - before
        told = {ordinal: outcome for ordinal, outcome in report.told().items() if ordinal in open_}
        if report.final:
            left = sorted(open_ - told.keys())
            told |= {o: ItemOutcome(ordinal=o, status="retry", error=_NOT_REPORTED) for o in left}
        return told

    async def _run_again(
        self, lease: Lease, batch: Batch, outcomes: Sequence[ItemOutcome], decisions: _Decisions
    ) -> set[int]:
        window = self._yard.line(lease.workload).window
        again: set[int] = set()
        rows: dict[int, tuple[int, bytes]]
        if isinstance(lease.source, Again):
            waiting = await self._store.retry_items([(lease.batch_id, o.ordinal) for o in outcomes])
            rows = {ordinal: row for (_, ordinal), row in waiting.items()}
        else:
            lines = (await self._pages.items([lease]))[lease.chunk_id]
            rows = {ordinal: (0, line) for ordinal, line in lines.items()}
        for outcome in outcomes:
            if outcome.ordinal not in rows:
                continue  # it is no longer kept: it ended in another way
            waited, line = rows[outcome.ordinal]
            error = outcome.error or ItemError(code="internal_error")
            rule = batch.retry_rule(window.manifest, error.code)
            follows = bool(outcome.guessed) and window.follows(lease.partition)
            if follows:  # the rate has gone down already: no need to stand still for as long as was guessed
                outcome = outcome.model_copy(update={"delay_s": _FOLLOWING_S})  # noqa: PLW2901
            next_ = after(outcome, lease.attempt, waited, rule, random.random())
            if _is_refusal(outcome) and window.limits.rule_of(lease.partition):
                next_ = self._refused(lease, outcome, error, waited)
            if batch.stopped:
                await self._let_go(batch, lease, line, outcome)
                _note(decisions.cancelled if batch.stopped == "cancelled" else decisions.expired, lease, outcome, None)
                decisions.settled.append((batch.batch_id, outcome.ordinal))  # an earlier try may have saved it
            elif isinstance(next_, RunAgain):
                item = _next_line(line, outcome)
                again.add(outcome.ordinal)
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
                if outcome.delay_s and error.scope == "provider" and not follows:
                    window.park(lease.partition, time.monotonic() + outcome.delay_s, error.message or error.code)
            else:
                _note(decisions.failed, lease, outcome, next_.error)
        return again

    async def _let_go(self, batch: Batch, lease: Lease, line: bytes, outcome: ItemOutcome) -> None:
        """An item went on elsewhere while its batch was stopped."""
        if outcome.state is not None:
            await self._settlement.let_go(batch, [(lease.partition, with_state(line, outcome.state))])


def _next_line(line: bytes, outcome: ItemOutcome) -> bytes:
    """An item as its next run is given it."""
    if outcome.error is not None and outcome.error.code in _BROKEN_OFF:
        return cut_off(line)
    return with_state(line, outcome.state) if outcome.state is not None else line


def _fate(lease: Lease) -> Fate | None:
    """What a chunk's items say of its size. Those that run once more say nothing: they are the ones that failed."""
    if isinstance(lease.source, Again):
        return None
    return Fate(lease.failed, lease.source.count, lease.given_at, time.monotonic())


def _may_pass(outcome: ItemOutcome) -> bool:
    """Whether an item failed by itself, in a way that may pass: not for a rate, nor for its provider or its worker."""
    error = outcome.error
    return outcome.status == "retry" and outcome.delay_s is None and (error is None or error.scope == "item")


def _note(where: dict[UUID, list[SettledItem]], lease: Lease, outcome: ItemOutcome, error: ItemError | None) -> None:
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
