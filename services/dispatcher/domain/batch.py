"""The header of a running batch: its terms, its controls, and the status of its items after a stop."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import Dedup, Priority, RetryRule, Reuse, StopReason, Terms
from services.dispatcher.domain.ordinal_set import OrdinalSet


@dataclass(slots=True)
class Batch:
    """The header of an unfinished batch."""

    batch_id: UUID
    owner: str
    workload: str
    priority: Priority
    traceparent: str | None = None
    round: int = 1
    started_round: int = 0
    opened_at: datetime | None = None
    """Time of the retry request that opened the round; None in round 1."""
    paused: bool = False
    cancelled: bool = False
    reuse: Reuse | None = None
    dropped: OrdinalSet = field(default_factory=OrdinalSet)
    """Ordinals of items that do not run, since another batch has them."""
    stop_reason: StopReason | None = None
    """Reason for which a service stopped the batch; None while none has."""
    terms: Terms = field(default_factory=Terms)
    unreadable: str = ""
    """Name of the stored options that this version cannot read, so that the batch must not run; empty if there is
    none."""
    stop_published: bool = False
    """True once the deadline has passed, the items in flight are settled, and the workers were told to stop."""

    @property
    def stop_status(self) -> Literal["cancelled", "expired"] | None:
        """Status with which the remaining items end; None while the batch may run."""
        if self.cancelled or self.stop_reason in {"failure_threshold", "internal_error"}:
            return "cancelled"
        return "expired" if self.stop_reason else None

    @property
    def dedup(self) -> Dedup | None:
        """Rule by which the items claim their keys before they run; None if they claim none."""
        dedup = self.reuse.dedup if self.reuse else None
        return dedup if dedup and dedup.mode in {"reject", "replace"} else None

    @property
    def deadline(self) -> datetime | None:
        """Deadline of the round; None without one, also if it had passed before the round was opened."""
        deadline = self.terms.deadline
        return None if deadline and self.opened_at and deadline <= self.opened_at else deadline

    def starts_after(self, now: datetime) -> datetime | None:
        """Time until which no item may be dispatched; None when items may be now."""
        not_before = self.terms.not_before
        return not_before if not_before and not_before > now else None

    def retry_rule(self, manifest: Manifest, code: str) -> RetryRule:
        """Return the retry rule for an error code; the batch's own rules replace those of the workload."""
        if not self.terms.retry:
            return manifest.retry_rule(code)
        rules: dict[str, RetryRule] = {**manifest.retry, **self.terms.retry}
        return rules.get(code) or rules.get("default") or RetryRule()
