"""Decides on a run whose time has come, by the runs of its schedule that have not ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from batchyard_contracts.v1.schedules import Overlap

MAX_QUEUED = 10
"""Largest number of scheduled runs of one schedule that wait for their predecessor."""
MAX_UNSTARTED = 1000
"""Largest number of runs of one schedule that wait or are being submitted."""
Origin = Literal["schedule", "manual", "backfill"]
_RUNNING = "The batch of an earlier run has not ended."


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """A run that has not started."""

    nominal_at: datetime
    origin: Origin


@dataclass(frozen=True, slots=True)
class Start:
    """The run starts."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The run waits until the runs before it have ended; the batches named are cancelled."""

    cancel: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """The run does not start."""

    reason: str


def decide_overlap(
    run: WaitingRun, overlap: Overlap, running: Sequence[UUID], waiting: Sequence[WaitingRun], *, starting: int = 0
) -> Start | Wait | Skip:
    """Return what becomes of a run.

    `running`: batches of its schedule without an end event in the ledger. `waiting`: all its runs that have not
    started, this one included. `starting`: number of its runs whose batches are being submitted.
    """
    earlier = [other for other in waiting if _order(other) < _order(run)]
    later = [other for other in waiting if _order(other) > _order(run)]
    if overlap == "allow":
        full = Skip(f"{MAX_UNSTARTED} runs before it have not started.")
        return Start() if starting < MAX_UNSTARTED else full
    if overlap == "cancel" and later:
        return Skip("A later run replaces it.")
    if not running and (not earlier or overlap == "cancel"):
        return Start()
    if overlap == "cancel":
        return Wait(cancel=running)
    if overlap == "skip":
        return Skip(_RUNNING)
    if run.origin == "schedule" and len(earlier) >= MAX_QUEUED:
        return Skip(f"{MAX_QUEUED} runs before it wait already.")
    return Wait()


def _order(run: WaitingRun) -> tuple[datetime, str]:
    return run.nominal_at, run.origin
