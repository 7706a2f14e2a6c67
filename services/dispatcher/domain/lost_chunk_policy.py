"""Decides what becomes of a chunk that its worker lost or returned, or that was never sent.

A lost chunk runs in quarantine, in a process of its own, so that it crashes no other chunk, and its worker finds the
item at fault. If that worker is lost as well, again and again, the chunk is halved: an item fails only if it was alone.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.scheduling.partition_queue import PageRange, RetryRange

_LOSSES_OF_HALF = 1
"""Further losses after which a half is halved in turn; another reason for the loss is unlikely by then."""
_LOSSES_ALONE = 2
"""Further losses after which a single item fails; the first one may still be due to its neighbours."""

LossReason = Literal["stopping", "redelivered", "expired", "never_sent"]
"""A stopping worker returned the chunk, the broker delivered it twice, no worker named it for too long, or the previous
dispatcher died before it had sent the chunk."""


@dataclass(frozen=True, slots=True)
class Keep:
    """The lease stays unchanged: its worker may still run the chunk, and then reports it."""


@dataclass(frozen=True, slots=True)
class Forget:
    """The lease ends without outcomes, since the round of its items is over."""


@dataclass(frozen=True, slots=True)
class Settle:
    """The remaining items end with the status of their stopped batch."""

    status: Literal["cancelled", "expired"]


@dataclass(frozen=True, slots=True)
class Defer:
    """The chunk is lost again as soon as its paused batch resumes."""


@dataclass(frozen=True, slots=True)
class Resend:
    """The chunk is sent with the same fence, and no loss is counted.

    If a worker has it after all, its report counts and the later one is ignored. Under a new fence the first report
    would be ignored, and each item would run twice.
    """


@dataclass(frozen=True, slots=True)
class Redispatch:
    """The chunk is sent as `lease`: with the next fence, its losses and its quarantine."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Fail:
    """The only remaining item fails."""

    error: ItemError


@dataclass(frozen=True, slots=True)
class Halve:
    """Two chunks take the place of one. Their ids are derived from its id, so that this may be repeated."""

    parts: tuple[Lease, Lease]


LossAction = Keep | Forget | Settle | Defer | Resend | Redispatch | Fail | Halve


@dataclass(frozen=True, slots=True)
class LossDecision:
    """The action on a lost chunk, and the items that fail before it."""

    action: LossAction
    needs_review: frozenset[int] = frozenset()
    """Ordinals of at-most-once items that had started; they do not run again."""


def decide_loss(
    lease: Lease,
    batch: Batch | None,
    reason: LossReason,
    ordinals: Sequence[int],
    *,
    isolates: bool,
    max_losses: int,
) -> LossDecision:
    """Return what becomes of a chunk.

    `batch`: None when the round of the chunk is over. `ordinals`: those of the chunk, in order. `isolates`: a worker
    takes quarantined chunks of the workload.
    """
    if batch is None:
        return LossDecision(Forget())
    if batch.stop_status:
        return LossDecision(Settle(batch.stop_status))
    started = frozenset(lease.unreported_started)
    left = replace(lease, reported=lease.reported | started)
    remaining = sum(ordinal not in left.reported for ordinal in ordinals)
    if reason == "stopping":
        return LossDecision(Redispatch(_next(left)), started)
    losses = lease.losses + 1
    is_bearable = remaining == 0 or losses < max_losses
    if reason == "redelivered" and (started or not is_bearable):
        return LossDecision(Keep())
    if batch.paused:
        return LossDecision(Defer())
    if reason == "never_sent" and not (lease.resent or lease.holder):
        return LossDecision(Resend())
    if is_bearable:
        # a worker takes quarantined chunks if one has just returned a chunk, also before its first heartbeat
        quarantined = isolates or reason == "redelivered"
        return LossDecision(Redispatch(_next(left, losses=losses, quarantined=quarantined)), started)
    if remaining == 1:
        message = f"Its worker was lost {losses} times while it ran, at last alone."
        return LossDecision(Fail(ItemError(code="worker_lost", message=message)), started)
    return LossDecision(Halve(_parts(left, ordinals, isolates=isolates, max_losses=max_losses)), started)


def halves(
    source: PageRange | RetryRange, ordinals: Sequence[int], reported: Collection[int]
) -> tuple[PageRange | RetryRange, PageRange | RetryRange]:
    """Split a chunk into two parts with equally many unreported items; at least two items must be unreported."""
    places = [place for place, ordinal in enumerate(ordinals) if ordinal not in reported]
    middle = places[len(places) // 2]
    if isinstance(source, RetryRange):
        parts = source.ordinals[:middle], source.ordinals[middle:]
        return replace(source, ordinals=parts[0]), replace(source, ordinals=parts[1])
    return (
        PageRange(source.page, source.segment, source.first, middle),
        PageRange(source.page, source.segment, source.first + middle, source.count - middle),
    )


def _next(lease: Lease, *, losses: int | None = None, quarantined: bool | None = None) -> Lease:
    """Return a lease with the next fence."""
    return replace(
        lease,
        fence=lease.fence + 1,
        losses=lease.losses if losses is None else losses,
        quarantined=lease.quarantined if quarantined is None else quarantined,
        holder=None,
    )


def _parts(lease: Lease, ordinals: Sequence[int], *, isolates: bool, max_losses: int) -> tuple[Lease, Lease]:
    first, second = halves(lease.source, ordinals, lease.reported)
    split = first.count
    return (
        _part(lease, 0, first, ordinals[:split], isolates=isolates, max_losses=max_losses),
        _part(lease, 1, second, ordinals[split:], isolates=isolates, max_losses=max_losses),
    )


def _part(
    lease: Lease,
    number: int,
    source: PageRange | RetryRange,
    ordinals: Sequence[int],
    *,
    isolates: bool,
    max_losses: int,
) -> Lease:
    reported = lease.reported.intersection(ordinals)
    further_losses = _LOSSES_ALONE if len(ordinals) - len(reported) == 1 else _LOSSES_OF_HALF
    return replace(
        lease,
        chunk_id=uuid.uuid5(lease.chunk_id, f"half {number}"),
        fence=1,
        source=source,
        ordinals=tuple(ordinals),
        losses=max(0, max_losses - further_losses),
        quarantined=isolates,
        resent=False,
        holder=None,
        started=set(),
        reported=reported,
    )
