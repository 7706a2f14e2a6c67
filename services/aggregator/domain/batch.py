"""The ledger's state of a batch, and every decision about it: what counts, when a round ends, what a command does.

Messages arrive late, twice and in any order. Each method is therefore idempotent, and none relies on another message
having arrived first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from batchyard_contracts.v1.values import (
    BatchStatus,
    FailureThreshold,
    NotificationTargets,
    Priority,
    Result,
    StopReason,
    Terms,
)
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.terms_history import TermsHistory
from services.aggregator.domain.threshold import find_breach

Action = Literal["pause", "resume", "cancel", "retry"]
NO_TARGETS = NotificationTargets()


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """The immutable description of a batch, received from ingest."""

    owner: str
    workload: str
    accepted_at: datetime
    name: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    traceparent: str | None = None
    has_summary: bool = False
    """True if a summary of the results is made before a round ends."""
    unit: str | None = None
    """Name of the unit that results are counted in, such as records; None if they are not counted."""
    has_source: bool = False
    """True if item 0 is a source that produces the other items."""
    notify: NotificationTargets | None = NO_TARGETS
    """Receivers of the end of each round; None: an earlier version accepted the batch, and the notifier knows them."""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch with the counters of its current round. `key` is the ledger's own short number for it."""

    key: int
    batch_id: UUID
    header: BatchHeader | None = None
    """None until `batch.accepted.v1` arrives; outcomes may arrive before it."""
    priority: Priority = "normal"
    round: int = 1
    total: int | None = None
    """Number of items; None until the batch is sealed."""
    units_total: int | None = None
    counters: OutcomeCounters = field(default_factory=OutcomeCounters)
    paused: bool = False
    result: Result | None = None
    finished_at: datetime | None = None
    changed_at: datetime | None = None
    """Time of the newest recorded outcome or other change of state."""
    paused_or_resumed_at: datetime | None = None
    priority_changed_at: datetime | None = None
    cancel_asked_at: datetime | None = None
    retry_asked_at: datetime | None = None
    reopened_at: datetime | None = None
    terms_history: TermsHistory | None = None
    """Terms of the batch with their times; None while there are none."""
    stop_reason: StopReason | None = None
    """Reason for which a service stopped the round."""
    breach: str | None = None
    """Sentence about the threshold that the failures have just exceeded; not stored."""
    failed_before: int = 0
    ended_before: int = 0
    """Items that had failed, and ended, before the round was opened: a threshold applies to one round."""
    summary_due_at: datetime | None = None
    """Time of the next summary request, while the round lacks only its summary."""
    summary_requests: int = 0
    """Number of summary requests sent for the round."""
    version: int = 0
    """Number of times the batch was saved."""
    stuck_version: int | None = None
    """Version at which the batch was found stuck; None: it never was."""
    outcomes_deleted_at: datetime | None = None
    """Time at which its outcomes and results were deleted; None: they are kept."""
    is_deleted: bool = False
    """True if the batch was deleted. Its header is gone, and nothing changes it any more."""

    @property
    def terms(self) -> Terms:
        """Current terms of the batch."""
        return self.terms_history.terms if self.terms_history else Terms()

    @property
    def active_threshold(self) -> FailureThreshold | None:
        """Threshold to check when items have failed; None if there is none, or if it can no longer apply."""
        if (
            self.terms_history is None
            or self.header is None
            or self.stop_reason
            or self.is_finished
            or self.is_awaiting_summary
        ):
            return None
        if self.counters.failed <= self.failed_before:
            return None
        return self.terms.failure_threshold

    @property
    def source_may_have_failed(self) -> bool:
        """Tell whether the items of a source are awaited although the source may have failed."""
        awaits_items = self.header is not None and self.header.has_source and self.total is None
        return awaits_items and self.counters.unsuccessful > 0

    @property
    def can_use_fast_path(self) -> bool:
        """Tell whether successes change only the counters."""
        return self.header is not None and self.header.unit is None and not self.source_may_have_failed

    @property
    def is_finished(self) -> bool:
        """Tell whether the current round has ended."""
        return self.finished_at is not None

    @property
    def is_awaiting_summary(self) -> bool:
        """Tell whether the round lacks only its summary."""
        return self.summary_due_at is not None

    @property
    def status(self) -> BatchStatus:
        """Public status of the batch."""
        if self.is_finished:
            return "finished"
        if self.paused:
            return "paused"
        return "open" if self.total is None else "running"

    @property
    def remaining(self) -> int:
        """Items without an outcome; 0 while the number of items is unknown."""
        return 0 if self.total is None else max(0, self.total - self.counters.ended)

    @property
    def is_stuck(self) -> bool:
        """Tell whether the batch was found stuck and has not changed since."""
        return self.stuck_version == self.version and not self.is_finished

    @property
    def stop_status(self) -> Literal["cancelled", "expired"] | None:
        """Status with which the remaining items of the round end; None while they may run."""
        if self.cancel_asked_at is not None or self.stop_reason in {"failure_threshold", "internal_error"}:
            return "cancelled"
        return "expired" if self.stop_reason else None

    @property
    def controlled_at(self) -> datetime | None:
        """Time of the newest command that was applied; None if there was none."""
        times = [self.paused_or_resumed_at, self.priority_changed_at, self.cancel_asked_at, self.retry_asked_at]
        if self.terms_history:
            times += [at for _, at in self.terms_history.entries.values()]
        accepted_at = self.header.accepted_at if self.header else None
        return max((at for at in times if at is not None and at != accepted_at), default=None)

    def is_of(self, owner: str) -> bool:
        """Tell whether the batch belongs to this owner."""
        return self.header is not None and self.header.owner == owner

    def is_open_for(self, round_: int) -> bool:
        """Tell whether outcomes of this round still count; reports on an earlier round are late."""
        return round_ == self.round and not self.is_finished

    def accept(self, header: BatchHeader, priority: Priority, total: int | None, terms: Terms | None = None) -> "Batch":
        """Set the header, and the priority, terms and total unless newer ones arrived before it."""
        if self.is_deleted:
            return self
        return replace(
            self._merge_terms(terms or Terms(), (), header.accepted_at),
            header=self.header or header,
            priority=priority if self.header is None and self.priority_changed_at is None else self.priority,
            total=total if self.total is None else self.total,
        )

    def seal(self, total: int, units: int | None = None) -> "Batch":
        """Set the number of items, and of units."""
        return replace(self, total=total, units_total=units) if self.total is None else self

    def add_outcomes(self, new: OutcomeCounters, at: datetime) -> "Batch":
        """Add outcomes that were not recorded before."""
        return replace(self, counters=self.counters + new, changed_at=at) if new.ended else self

    def reconcile(self, counted: OutcomeCounters) -> "Batch":
        """Replace the counters of an unfinished round by those counted row by row."""
        counted = replace(counted, units=self.counters.units)  # rows do not contain units
        return self if self.is_finished or counted == self.counters else replace(self, counters=counted)

    def finish_if_complete(self, at: datetime) -> "Batch":
        """Finish the round if nothing remains; first await its summary if it needs one."""
        if self.is_finished or self.header is None or self.total is None or self.remaining:
            return self
        if self.header.has_summary and self.counters.succeeded and not (self.header.has_source and self.total == 1):
            return self if self.is_awaiting_summary else replace(self, summary_due_at=at, summary_requests=0)
        return self._finish(at)

    def record_summary_request(self, retry_at: datetime) -> "Batch":
        """Count a summary request and set the time of the next one."""
        return replace(self, summary_due_at=retry_at, summary_requests=self.summary_requests + 1)

    def finish_summarized(self, round_: int, at: datetime) -> "Batch":
        """Finish the round with its summary, or without one if there will be none."""
        return self._finish(at) if self.is_awaiting_summary and round_ == self.round and not self.remaining else self

    def _finish(self, at: datetime) -> "Batch":
        is_cancelled = self.stop_reason in {"failure_threshold", "internal_error"}
        result = "cancelled" if is_cancelled else _result(self.counters)
        return replace(self, finished_at=at, result=result, changed_at=at, summary_due_at=None)

    def stop(self, reason: StopReason, round_: int, at: datetime) -> "Batch":
        """Record why a service stopped the round; the first reason stays."""
        if round_ != self.round or self.is_finished or self.stop_reason or self.is_awaiting_summary:
            return self
        return replace(self, stop_reason=reason, changed_at=at)

    def check_threshold(self, codes: Mapping[str, int]) -> "Batch":
        """Stop the round if its failures exceed the threshold. `codes`: failed items of the round by error code."""
        threshold = self.active_threshold
        if threshold is None:
            return self
        failed, ended = self.counters.failed - self.failed_before, self.counters.ended - self.ended_before
        all_ended = self.total is not None and not self.remaining
        breach = find_breach(threshold, failed, ended, codes, all_ended=all_ended)
        return replace(self, stop_reason="failure_threshold", breach=breach) if breach else self

    def change(self, at: datetime, priority: Priority | None, terms: Terms, clear: Sequence[str]) -> "Batch":
        """Apply a change of priority and terms, except where a newer one was applied before."""
        if self.is_deleted:
            return self
        changed = self._merge_terms(terms, clear, at)
        if priority is None or _older(at, self.priority_changed_at):
            return changed
        return replace(changed, priority=priority, priority_changed_at=at)

    def _merge_terms(self, terms: Terms, clear: Sequence[str], at: datetime) -> "Batch":
        if terms == Terms() and not clear:
            return self
        return replace(self, terms_history=(self.terms_history or TermsHistory()).merge(terms, clear, at))

    def apply_command(self, action: Action, at: datetime) -> "Batch":
        """Apply a command, unless a newer one of its kind was applied before. For `retry` see `can_reopen`.

        A pause or a cancel of a finished batch may be meant for the round that a retry is about to open.
        """
        if self.is_deleted:
            return self
        if action == "retry":
            return self if _older(at, self.retry_asked_at) else replace(self, retry_asked_at=at)
        if _older(at, self.reopened_at):
            return self
        if action == "cancel":
            return self if _older(at, self.cancel_asked_at) else replace(self, cancel_asked_at=at)
        if _older(at, self.paused_or_resumed_at):
            return self
        changed_at = self.changed_at if self.is_finished else at
        return replace(self, paused=action == "pause", paused_or_resumed_at=at, changed_at=changed_at)

    def can_reopen(self, at: datetime) -> bool:
        """Tell whether a retry requested at this time opens a new round.

        The batch must be finished and have unsuccessful items, whose outcomes are kept, and the command must not have
        been applied before.
        """
        if self.outcomes_deleted_at is not None:
            return False
        return self.is_finished and self.counters.unsuccessful > 0 and not _older(at, self.retry_asked_at)

    def reopen(self, removed: OutcomeCounters, asked_at: datetime, at: datetime) -> "Batch":
        """Open the next round with the items whose outcomes were removed. Commands newer than the retry apply to it."""
        counters = self.counters - removed
        return replace(
            self,
            round=self.round + 1,
            counters=counters,
            failed_before=counters.failed,
            ended_before=counters.ended,
            stop_reason=None,
            paused=self.paused and not _older(self.paused_or_resumed_at or asked_at, asked_at),
            result=None,
            finished_at=None,
            changed_at=at,
            cancel_asked_at=self.cancel_asked_at if not _older(self.cancel_asked_at or asked_at, asked_at) else None,
            retry_asked_at=asked_at,
            reopened_at=asked_at,
        )

    def accept_results(self, number: int, asked_at: datetime, at: datetime) -> "Batch":
        """Open the next round, in which so many failed items succeed with the results that were refused."""
        return self.reopen(OutcomeCounters(failed=number), asked_at, at).add_outcomes(
            OutcomeCounters(succeeded=number), at
        )


def _older(at: datetime, than: datetime | None) -> bool:
    return than is not None and at <= than


def _result(counters: OutcomeCounters) -> Result:
    if counters.cancelled:  # only ever on request, even if the outcomes arrive before the command
        return "cancelled"
    if not counters.unsuccessful:
        return "completed"
    return "partial" if counters.succeeded else "failed"
