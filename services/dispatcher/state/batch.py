"""The header of a batch that runs: its terms, what it was told, and how its items end when it is stopped."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import Priority, RetryRule, Reuse, StopReason, Terms


@dataclass(slots=True)
class Batch:
    """The header of a batch that is not finished."""

    batch_id: UUID
    owner: str
    workload: str
    priority: Priority
    traceparent: str | None = None
    round: int = 1
    started_round: int = 0
    opened_at: datetime | None = None
    """When the retry that opened the round was asked for."""
    paused: bool = False
    cancelled: bool = False
    reuse: Reuse | None = None
    dropped: set[int] = field(default_factory=set)
    """Items that are not to run, since another batch has them."""
    stop_reason: StopReason | None = None
    """Why a service stopped it."""
    terms: Terms = field(default_factory=Terms)
    stop_published: bool = False
    """Its deadline has passed, what was out is settled, and the workers have heard of it."""

    @property
    def stop_status(self) -> Literal["cancelled", "expired"] | None:
        """How that ends which has not ended; None while the batch may run."""
        if self.cancelled or self.stop_reason == "failure_threshold":
            return "cancelled"
        return "expired" if self.stop_reason else None

    @property
    def deadline(self) -> datetime | None:
        """When the round expires: a deadline that had passed when it was opened says nothing about it."""
        deadline = self.terms.deadline
        return None if deadline and self.opened_at and deadline <= self.opened_at else deadline

    def retry_rule(self, manifest: Manifest, code: str) -> RetryRule:
        """The rule for an error code: the batch's own rules take the place of the workload's."""
        if not self.terms.retry:
            return manifest.retry_rule(code)
        rules: dict[str, RetryRule] = {**manifest.retry, **self.terms.retry}
        return rules.get(code) or rules.get("default") or RetryRule()
