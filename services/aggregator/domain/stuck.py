"""Decides what is done about unfinished batches of which the dispatcher holds no item to run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

from batchyard_contracts.v1.values import WaitReason
from services.aggregator.domain.batch import Batch

RESEND_SWEEPS = (2, 3)
"""Sweeps in a row after which what may have been lost on the way is sent again; the first of them finds the batch."""
REPORT_SWEEPS = 5
"""Sweeps in a row after which nothing is left to mend."""
Step = Literal["resend", "report", "settle"]


class Unheld(NamedTuple):
    """A batch of which the dispatcher holds nothing, and what is to be done about it now."""

    batch: Batch
    dispatcher_round: int | None
    """Latest round that the dispatcher has begun; None: it does not know the batch."""
    step: Step | None


@dataclass(frozen=True, slots=True)
class _Suspicion:
    version: int
    sweeps: int


class StuckWatch:
    """Counts the sweeps in which a batch was found without an item to run and without a change."""

    def __init__(self) -> None:
        self._suspicions: dict[UUID, _Suspicion] = {}
        self._earlier: dict[UUID, _Suspicion] = {}
        """Suspicions of the last rotation through all batches. A batch that was not found since is forgotten."""

    def observe(self, idle: Iterable[Batch], rounds: Mapping[UUID, int | None], *, count: bool) -> list[Unheld]:
        """Return the batches without an item to run, each with its next step.

        `rounds`: the rounds at the dispatcher of those that it does not hold. `count`: False if messages about them may
        still be under way, so that this sweep does not count.
        """
        found = []
        for batch in idle:
            if batch.batch_id in rounds:
                sweeps = self._sweeps(batch) + count
                self._suspicions[batch.batch_id] = _Suspicion(batch.version, sweeps)
                found.append(Unheld(batch, rounds[batch.batch_id], _step(batch, sweeps) if count else None))
        return found

    def end_rotation(self) -> None:
        """Begin with the first batch again."""
        self._earlier, self._suspicions = self._suspicions, {}

    def _sweeps(self, batch: Batch) -> int:
        known = self._suspicions.get(batch.batch_id) or self._earlier.get(batch.batch_id)
        return known.sweeps if known is not None and known.version == batch.version else 0


def stuck_reason(batch: Batch) -> WaitReason:
    """Return the reason for which a stuck batch does not go on."""
    detail = (
        f"{batch.remaining} items have no outcome, and no service has them to run: a message was lost or set aside. "
        "Look for it with `batchyard dead-letters`, or cancel the batch to end it."
    )
    return WaitReason(code="stuck", detail=detail)


def _step(batch: Batch, sweeps: int) -> Step | None:
    if sweeps in RESEND_SWEEPS:
        return "resend"
    if batch.header is None or not batch.remaining or sweeps < REPORT_SWEEPS:
        return None
    if batch.stop_status:
        return "settle"
    return None if batch.is_stuck else "report"
