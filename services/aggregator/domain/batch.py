"""A batch as the ledger sees it, and every decision about it: what counts, when a round ends, what a command does.

Messages arrive late, twice and in any order: each method below is harmless when its message was handled before, and
none relies on another message having come first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from batchyard_contracts.v1.values import BatchStatus, FailureThreshold, Priority, Result, StopCause, Terms
from services.aggregator.domain.counters import Tally
from services.aggregator.domain.terms_history import Told
from services.aggregator.domain.threshold import met

Action = Literal["pause", "resume", "cancel", "retry"]


@dataclass(frozen=True, slots=True)
class Header:
    """What ingest says of a batch, once and for all."""

    owner: str
    workload: str
    accepted_at: datetime
    name: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    traceparent: str | None = None
    summarize: bool = False
    """Whether a summary of the results is made before a round ends."""
    unit: str | None = None
    """What its items are made of, if their results say how many."""
    sourced: bool = False
    """Whether its item 0 is a source, which finds the others."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch with the counters of its current round. `key` is the ledger's own short number for it."""

    key: int
    batch_id: UUID
    header: Header | None = None
    """Unknown until batch.accepted.v1 is there; outcomes may come before it."""
    priority: Priority = "normal"
    round: int = 1
    total: int | None = None
    """Unknown until the batch is sealed."""
    units_total: int | None = None
    tally: Tally = field(default_factory=Tally)
    paused: bool = False
    result: Result | None = None
    finished_at: datetime | None = None
    changed_at: datetime | None = None
    """When the newest outcome was recorded, or the state changed otherwise."""
    paused_or_resumed_at: datetime | None = None
    priority_changed_at: datetime | None = None
    cancel_asked_at: datetime | None = None
    retry_asked_at: datetime | None = None
    reopened_at: datetime | None = None
    told: Told | None = None
    """Its terms; None while it has none."""
    stopped: StopCause | None = None
    """Why a service stopped the round."""
    verdict: str | None = None
    """Which bound its failures passed, for who just judged them; not kept."""
    failed_before: int = 0
    ended_before: int = 0
    """What had failed, and ended, when the round was opened: a threshold judges the round alone."""
    summary_due_at: datetime | None = None
    """Set while a round lacks nothing but its summary: when that is to be asked for, the first time or again."""
    summary_asked: int = 0
    """How often it was."""
    version: int = 0
    """How often it was saved."""

    @property
    def terms(self) -> Terms:
        """On what terms it runs."""
        return self.told.terms if self.told else Terms()

    @property
    def threshold(self) -> FailureThreshold | None:
        """What has to be judged when items have failed."""
        if self.told is None or self.header is None or self.stopped or self.finished or self.summarizing:
            return None
        if self.tally.failed <= self.failed_before:
            return None
        return self.terms.failure_threshold

    @property
    def source_may_have_failed(self) -> bool:
        """Whether somebody waits for items of a source that are perhaps never to come."""
        awaited = self.header is not None and self.header.sourced and self.total is None
        return awaited and self.tally.unsuccessful > 0

    @property
    def plain(self) -> bool:
        """Whether outcomes that succeeded change nothing but its counters."""
        return self.header is not None and self.header.unit is None and not self.source_may_have_failed

    @property
    def finished(self) -> bool:
        """Whether the current round has ended."""
        return self.finished_at is not None

    @property
    def summarizing(self) -> bool:
        """Whether the summary is awaited."""
        return self.summary_due_at is not None

    @property
    def status(self) -> BatchStatus:
        """The state that outsiders see."""
        if self.finished:
            return "finished"
        if self.paused:
            return "paused"
        return "open" if self.total is None else "running"

    @property
    def remaining(self) -> int:
        """Items without an outcome; 0 while their number is unknown."""
        return 0 if self.total is None else max(0, self.total - self.tally.ended)

    def takes(self, round_: int) -> bool:
        """Whether outcomes of this round still count: a report on an earlier round is late."""
        return round_ == self.round and not self.finished

    def accept(self, header: Header, priority: Priority, total: int | None, terms: Terms | None = None) -> "Batch":
        """Learn the header; a newer priority, newer terms and a total that came before it stay."""
        return replace(
            self._tell(terms or Terms(), (), header.accepted_at),
            header=self.header or header,
            priority=priority if self.header is None and self.priority_changed_at is None else self.priority,
            total=total if self.total is None else self.total,
        )

    def seal(self, total: int, units: int | None = None) -> "Batch":
        """Learn the number of items, and of units."""
        return replace(self, total=total, units_total=units) if self.total is None else self

    def record(self, new: Tally, at: datetime) -> "Batch":
        """Count outcomes that were not there before."""
        return replace(self, tally=self.tally + new, changed_at=at) if new.ended else self

    def corrected(self, counted: Tally) -> "Batch":
        """Take over what was counted row by row."""
        counted = replace(counted, units=self.tally.units)  # these are in no row
        return self if self.finished or counted == self.tally else replace(self, tally=counted)

    def conclude(self, at: datetime) -> "Batch":
        """End the round if everything is known and nothing remains; or await the summary of what succeeded."""
        if self.finished or self.header is None or self.total is None or self.remaining:
            return self
        if self.header.summarize and self.tally.succeeded and not (self.header.sourced and self.total == 1):
            return self if self.summarizing else replace(self, summary_due_at=at, summary_asked=0)
        return self._ended(at)

    def asked_for_summary(self, again_at: datetime) -> "Batch":
        """Remember that it was asked for, and when to do so again."""
        return replace(self, summary_due_at=again_at, summary_asked=self.summary_asked + 1)

    def summarized(self, round_: int, at: datetime) -> "Batch":
        """End the round, since its summary is there, or will never be."""
        return self._ended(at) if self.summarizing and round_ == self.round and not self.remaining else self

    def _ended(self, at: datetime) -> "Batch":
        result = "cancelled" if self.stopped == "failure_threshold" else _result(self.tally)
        return replace(self, finished_at=at, result=result, changed_at=at, summary_due_at=None)

    def stop(self, cause: StopCause, round_: int, at: datetime) -> "Batch":
        """Learn that a service stopped a round; the first cause holds."""
        if round_ != self.round or self.finished or self.stopped or self.summarizing:
            return self
        return replace(self, stopped=cause, changed_at=at)

    def judge(self, codes: Mapping[str, int]) -> "Batch":
        """Stop the round if its failures have passed a bound. `codes`: failed items of the round by error code."""
        threshold = self.threshold
        if threshold is None:
            return self
        failed, ended = self.tally.failed - self.failed_before, self.tally.ended - self.ended_before
        all_ended = self.total is not None and not self.remaining
        verdict = met(threshold, failed, ended, codes, all_ended=all_ended)
        return replace(self, stopped="failure_threshold", verdict=verdict) if verdict else self

    def change(self, at: datetime, priority: Priority | None, terms: Terms, clear: Sequence[str]) -> "Batch":
        """Take what is told of priority and terms, unless something newer was told of it."""
        told = self._tell(terms, clear, at)
        if priority is None or _older(at, self.priority_changed_at):
            return told
        return replace(told, priority=priority, priority_changed_at=at)

    def _tell(self, terms: Terms, clear: Sequence[str], at: datetime) -> "Batch":
        if terms == Terms() and not clear:
            return self
        return replace(self, told=(self.told or Told()).tell(terms, clear, at))

    def steer(self, action: Action, at: datetime) -> "Batch":
        """Obey a command, unless a newer one of its kind was obeyed before. For `retry` see `reopens`.

        A pause or a cancel of a finished batch may be meant for the round that a retry is about to open.
        """
        if action == "retry":
            return self if _older(at, self.retry_asked_at) else replace(self, retry_asked_at=at)
        if _older(at, self.reopened_at):
            return self
        if action == "cancel":
            return self if _older(at, self.cancel_asked_at) else replace(self, cancel_asked_at=at)
        if _older(at, self.paused_or_resumed_at):
            return self
        changed_at = self.changed_at if self.finished else at
        return replace(self, paused=action == "pause", paused_or_resumed_at=at, changed_at=changed_at)

    def reopens(self, at: datetime) -> bool:
        """Whether a retry asked for at this time opens a new round: only on a finished batch with something to
        retry, and not when the same command was seen before."""
        return self.finished and self.tally.unsuccessful > 0 and not _older(at, self.retry_asked_at)

    def reopen(self, removed: Tally, asked_at: datetime, at: datetime) -> "Batch":
        """Begin the next round with items whose outcomes were removed. What was told after the retry holds for it."""
        left = self.tally - removed
        return replace(
            self,
            round=self.round + 1,
            tally=left,
            failed_before=left.failed,
            ended_before=left.ended,
            stopped=None,
            paused=self.paused and not _older(self.paused_or_resumed_at or asked_at, asked_at),
            result=None,
            finished_at=None,
            changed_at=at,
            cancel_asked_at=self.cancel_asked_at if not _older(self.cancel_asked_at or asked_at, asked_at) else None,
            retry_asked_at=asked_at,
            reopened_at=asked_at,
        )


def _older(at: datetime, than: datetime | None) -> bool:
    return than is not None and at <= than


def _result(tally: Tally) -> Result:
    if tally.cancelled:  # items end so only when it was asked for, though the outcomes may be here before the command
        return "cancelled"
    if not tally.unsuccessful:
        return "completed"
    return "partial" if tally.succeeded else "failed"
