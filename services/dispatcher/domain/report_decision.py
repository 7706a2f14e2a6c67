"""Decides what follows a worker's report on a chunk: retries, ended items, and the state of the provider.

The outcomes of a report that ends its chunk and covers all that was left need not be read: `is_complete` tells, and
`decide_complete` gives the same decision as `decide` would.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from batchyard_contracts.v1.flow import ItemOutcome, SettledItem
from batchyard_contracts.v1.manifest import CircuitRule, Manifest
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.item_line import has_state, with_rerun, with_state
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.rate_limiting.circuit_breaker import AT_FAULT, CircuitState
from services.dispatcher.domain.retry_policy import GiveUp, Retry, RetryDecision, decide_retry
from services.dispatcher.domain.scheduling.chunk_sizer import ChunkOutcomes
from services.dispatcher.domain.scheduling.partition_queue import PageRange, RetryRange

ADAPTIVE_DELAY_S = 1.0
"""Delay in seconds of a refused item without a delay from its provider, where an adaptive rate has fallen already."""
INTERRUPTED = frozenset({"worker_stopping", "timeout", "process_died", "not_reported"})
"""Error codes of interrupted runs: the worker stopped or killed them, or did not report on them."""
CIRCUIT_WAIT = 1.5
"""Delay of a refused item in pauses of its provider's circuit, so that a probe goes first."""
NOT_REPORTED = ItemError(code="not_reported", message="The worker finished the chunk without a word on this item.")
_INTERNAL_ERROR = ItemError(code="internal_error")

Outcomes = Mapping[int, ItemOutcome | None]
"""Outcomes by ordinal; None of an item that has ended."""


@dataclass(frozen=True, slots=True)
class Provider:
    """The destination of a partition when a report is decided; `rule` is None without a circuit breaker."""

    is_adaptive: bool = False
    rule: CircuitRule | None = None
    state: CircuitState = "closed"
    pause_s: float = 0.0
    close_count: int = 0
    refused: Mapping[int, int] = field(default_factory=dict)
    """Close count of the circuit at the previous refusal of an item, or `AT_FAULT`, by ordinal."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal by a provider: `ordinal` of the item that was called; `error` opens the circuit, None if the item is at
    fault."""

    ordinal: int | None
    error: ItemError | None


@dataclass(frozen=True, slots=True)
class ReportDecision:
    """All effects of one report, none of which has been applied."""

    ended: bool
    """True if the lease of the chunk ends."""
    covered: Set[int] = frozenset()
    """Ordinals that need not be reported again; empty if the chunk ends without its outcomes being read."""
    retries: tuple[Retry, ...] = ()
    failed: tuple[SettledItem, ...] = ()
    cancelled: tuple[SettledItem, ...] = ()
    expired: tuple[SettledItem, ...] = ()
    finished: Set[int] | Sequence[int] = ()
    """Ordinals whose retry row, if any, is deleted."""
    cancel_elsewhere: tuple[tuple[str, bytes], ...] = ()
    """Partition and line of items that went on elsewhere while their batch was stopped."""
    answered: bool = False
    """True if the provider answered; applied before the refusals."""
    refusals: tuple[Refusal, ...] = ()
    pause: tuple[float, str] | None = None
    """The time until which nothing is sent to the destination, and the reason."""
    failures: int = 0
    """Number of items that failed by themselves with a retryable error."""


_COMPLETE = ReportDecision(ended=True, answered=True)


def is_complete(*, final: bool, ended: Set[int], ordinals: Sequence[int] | None, covered: Set[int]) -> bool:
    """Tell whether a report ends all remaining items of a chunk, those of `ordinals` that were not covered before."""
    return final and bool(ended) and ordinals is not None and ended == set(ordinals) - covered


def decide_complete(source: PageRange | RetryRange, covered: Set[int]) -> ReportDecision:
    """Return the decision when all remaining items have ended."""
    if isinstance(source, PageRange):
        return _COMPLETE
    return ReportDecision(ended=True, answered=True, finished=[o for o in source.ordinals if o not in covered])


def new_outcomes(outcomes: Outcomes, ordinals: Sequence[int], covered: Set[int], *, final: bool) -> Outcomes:
    """Return the outcomes that were not covered before; in a final report also those of the missing items."""
    open_ = set(ordinals) - covered
    new = {ordinal: outcome for ordinal, outcome in outcomes.items() if ordinal in open_}
    if final:
        missing = sorted(open_ - new.keys())
        new |= {o: ItemOutcome(ordinal=o, status="retry", error=NOT_REPORTED) for o in missing}
    return new


def decide(
    lease: Lease,
    outcomes: Outcomes,
    rows: Mapping[int, tuple[int, bytes]],
    batch: Batch | None,
    provider: Provider,
    manifest: Manifest,
    now: float,
    jitter: Callable[[], float],
    *,
    final: bool,
) -> ReportDecision:
    """Return the decision on the new outcomes of a report.

    `rows`: waits and line of the unfinished items that are still stored. `batch`: None when the round of the chunk is
    over. `jitter`: a random number in [0, 1) for each item.
    """
    unfinished = [outcome for outcome in outcomes.values() if outcome is not None]
    answered = len(unfinished) < len(outcomes) or any(o.status == "continued" for o in unfinished)
    items = _Items(lease, provider, now, answered=answered)
    if batch is not None:
        for outcome in unfinished:
            if (row := rows.get(outcome.ordinal)) is not None:
                items.decide(outcome, *row, batch, manifest, jitter())
    finished: Set[int] | Sequence[int] = items.ended_ordinals  # an earlier try may have saved them as retries
    if isinstance(lease.source, RetryRange):
        finished = outcomes.keys() - {retry.ordinal for retry in items.retries} if items.retries else outcomes.keys()
    return ReportDecision(
        ended=final,
        covered=outcomes.keys(),
        retries=tuple(items.retries),
        failed=tuple(items.failed),
        cancelled=tuple(items.cancelled),
        expired=tuple(items.expired),
        finished=finished,
        cancel_elsewhere=tuple(items.cancel_elsewhere),
        answered=answered,
        refusals=tuple(items.refusals),
        pause=items.pause,
        failures=sum(map(_is_transient_failure, unfinished)),
    )


def chunk_outcomes(
    decision: ReportDecision, source: PageRange | RetryRange, failures: int, sent_at: float, now: float
) -> ChunkOutcomes | None:
    """Return the share of failed items that a chunk's size follows; None where it says nothing about the size.

    Items that run once more say nothing: they are the ones that failed.
    """
    if isinstance(source, RetryRange) or not (decision.failures or decision.ended):
        return None
    return ChunkOutcomes(failures, source.count, sent_at, now)


class _Items:
    """The decisions on the unfinished items of one report, taken one after the other."""

    def __init__(self, lease: Lease, provider: Provider, now: float, *, answered: bool) -> None:
        self._lease, self._provider, self._now = lease, provider, now
        closes = answered and provider.state == "half_open"
        self._state: CircuitState = "closed" if closes else provider.state
        self._close_count, self._pause_s = provider.close_count + closes, provider.pause_s
        self.retries: list[Retry] = []
        self.failed: list[SettledItem] = []
        self.cancelled: list[SettledItem] = []
        self.expired: list[SettledItem] = []
        self.ended_ordinals: list[int] = []
        self.cancel_elsewhere: list[tuple[str, bytes]] = []
        self.refusals: list[Refusal] = []
        self.pause: tuple[float, str] | None = None

    def decide(
        self,
        outcome: ItemOutcome,
        waits: int,
        line: bytes,
        batch: Batch,
        manifest: Manifest,
        jitter: float,
    ) -> None:
        """Decide on one item."""
        error = outcome.error or _INTERNAL_ERROR
        follows_rate = bool(outcome.guessed) and self._provider.is_adaptive
        if follows_rate:
            outcome = outcome.model_copy(update={"delay_s": ADAPTIVE_DELAY_S})
        following = decide_retry(outcome, self._lease.attempt, waits, batch.retry_rule(manifest, error.code), jitter)
        if _is_refusal(outcome) and self._provider.rule is not None:
            following = self._refuse(outcome, error, waits, self._provider.rule)
        if batch.stop_status:
            self._stop(outcome, line, batch.stop_status)
        elif isinstance(following, RetryDecision):
            self._retry(outcome, line, following)
            if outcome.delay_s and error.scope == "provider" and not follows_rate:
                self._back_off(self._now + outcome.delay_s, error.message or error.code)
        else:
            self._end(outcome, self.failed, following.error)

    def _refuse(self, outcome: ItemOutcome, error: ItemError, waits: int, rule: CircuitRule) -> RetryDecision | GiveUp:
        """Record the refusal of a provider. The item waits for the provider without using an attempt.

        An item that is refused again after others were accepted is at fault itself; else it would open the circuit for
        ever.
        """
        called = outcome.elapsed_ms > 0  # else the call was skipped, since another one had been refused
        if called and self._is_at_fault(outcome.ordinal):
            self.refusals.append(Refusal(outcome.ordinal, None))
            return GiveUp(error)
        self.refusals.append(Refusal(outcome.ordinal if called else None, error))
        if self._state == "closed":
            self._pause_s = rule.base_s
        elif self._state == "half_open":
            self._pause_s = min(rule.cap_s, 2 * self._pause_s)
        self._state = "open"
        return RetryDecision(CIRCUIT_WAIT * self._pause_s, self._lease.attempt, waits)

    def _is_at_fault(self, ordinal: int) -> bool:
        """Tell whether an item was refused, then others were accepted, and now it is refused again."""
        refused_at = self._provider.refused.get(ordinal)
        if refused_at == AT_FAULT:  # the same report, decided once more
            return True
        return self._state == "closed" and refused_at is not None and refused_at < self._close_count

    def _stop(self, outcome: ItemOutcome, line: bytes, status: Literal["cancelled", "expired"]) -> None:
        self._end(outcome, self.cancelled if status == "cancelled" else self.expired, None)
        if outcome.state is not None:
            line = with_state(line, outcome.state)
        if has_state(line):
            self.cancel_elsewhere.append((self._lease.partition, line))

    def _retry(self, outcome: ItemOutcome, line: bytes, following: RetryDecision) -> None:
        lease = self._lease
        quarantined = lease.quarantined and outcome.status == "retry"  # a continuation has survived its run
        self.retries.append(
            Retry(
                lease.batch_id,
                outcome.ordinal,
                lease.round,
                lease.partition,
                following.attempt,
                following.waits,
                following.delay_s,
                next_line(line, outcome),
                quarantined,
                outcome.error,
            )
        )

    def _back_off(self, until: float, reason: str) -> None:
        if self.pause is None or until > self.pause[0]:
            self.pause = (until, reason)

    def _end(self, outcome: ItemOutcome, ended: list[SettledItem], error: ItemError | None) -> None:
        self.ended_ordinals.append(outcome.ordinal)
        ended.append(
            SettledItem(
                ordinal=outcome.ordinal,
                custom_id=outcome.custom_id,
                attempts=self._lease.attempt,
                error=error,
                partition=self._lease.partition,
            )
        )


def next_line(line: bytes, outcome: ItemOutcome) -> bytes:
    """Return the line of an item for its next run."""
    if outcome.error is not None and outcome.error.code in INTERRUPTED:
        return with_rerun(line)
    return with_state(line, outcome.state) if outcome.state is not None else line


def _is_transient_failure(outcome: ItemOutcome) -> bool:
    """Tell whether an item failed by itself with a retryable error, not by a rate, its provider or its worker."""
    error = outcome.error
    return outcome.status == "retry" and outcome.delay_s is None and (error is None or error.scope == "item")


def _is_refusal(outcome: ItemOutcome) -> bool:
    """Tell whether a provider refused for a reason of its own, not for a rate."""
    error = outcome.error
    return error is not None and error.scope == "provider" and outcome.delay_s is None
