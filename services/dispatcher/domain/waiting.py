"""Tells why no item of a batch is in flight, from what the dispatcher has in memory."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from batchyard_contracts.v1.values import MAX_SECONDS, WaitReason
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.rate_limiting.batch_limits import BatchLimits
from services.dispatcher.domain.rate_limiting.limiter import Limiter
from services.dispatcher.domain.scheduling.batch_queue import BatchQueue
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow

_MAX_PARTITIONS = 50
"""Partitions of a batch that are looked at, so that a question costs the same for every batch."""


class Wait(NamedTuple):
    """A reason to wait; `until`: time at which it may end, in seconds of the caller's clock, if known."""

    code: str
    detail: str
    until: float | None = None


def reason_of(wait: Wait, now: float, at: datetime) -> WaitReason:
    """Return a reason with its time on the wall clock, which shows `at` at `now`."""
    until = None
    if wait.until is not None and math.isfinite(wait.until):
        until = at + timedelta(seconds=min(max(0.0, wait.until - now), MAX_SECONDS))
    return WaitReason(code=wait.code, detail=wait.detail, until=until)


def start_of(batch: Batch, now: float, at: datetime) -> float | None:
    """Return the time, by the clock of `now`, before which no item may be dispatched; None when items may be now."""
    starts_after = batch.starts_after(at)
    return now + (starts_after - at).total_seconds() if starts_after else None


def wait_of_workload(window: InFlightWindow) -> Wait | None:
    """Return the reason for which no item of a workload runs; None if items may run."""
    if window.workers <= 0:
        name = window.manifest.name
        return Wait("no_worker", f"No live worker runs {name}. Its items run as soon as one is started.")
    return None


def wait_of_batch(
    batch: Batch,
    queue: BatchQueue | None,
    window: InFlightWindow,
    limits: BatchLimits | None,
    now: float,
    starts_at: float | None = None,
) -> Wait | None:
    """Return the reason for which no item of a batch is in flight; None if some are, if none waits in memory, or if the
    next one is about to be dispatched. `starts_at`: time before which no item may be."""
    if batch.stop_status or window.in_flight_by_batch[batch.batch_id]:
        return None
    if wait := next(waits_of_whole_batch(batch, window, now, starts_at), None):
        return wait
    if queue is None or not queue.partition_queues:
        return None
    if wait := wait_of_own_limits(limits, 0, now):
        return wait
    waits = [wait_of_partition(window, name, now) for name in islice(queue.partition_queues, _MAX_PARTITIONS)]
    held = [wait for wait in waits if wait is not None]
    if len(held) < len(waits):
        if window.is_full(batch.priority):
            return Wait("workers_busy", "The workers run other items. Those of this batch follow in turn.")
        return None
    return min(held, key=lambda wait: now if wait.until is None else wait.until)


def waits_of_whole_batch(batch: Batch, window: InFlightWindow, now: float, starts_at: float | None) -> Iterator[Wait]:
    """Yield the reasons that hold back every item of a batch, whatever its destination, but for its own limits."""
    if batch.paused:
        yield Wait("paused", "The batch is paused. Resume it to let its items run.")
    if starts_at is not None and starts_at > now:
        yield Wait("not_before", "The batch is to start later. Change its `not_before`, or clear it.", starts_at)
    if wait := wait_of_workload(window):
        yield wait


def wait_of_own_limits(limits: BatchLimits | None, in_flight: int, now: float, wanted: int = 1) -> Wait | None:
    """Return the reason for which the batch's own rate or concurrency does not allow `wanted` further items; None if it
    does, or as many as its rate ever allows at once."""
    if limits is None:
        return None
    if limits.concurrency is not None and in_flight >= limits.concurrency:
        return Wait("concurrency_limit", "As many items of the batch as its `concurrency` allows are in flight.")
    if limits.rate is None or not limits.lacks(wanted, now):
        return None
    detail = f"The batch's own rate allows {limits.rate.per_second:g} items in a second."
    return Wait("rate_limit", detail, limits.next_at() if limits.lacks(1, now) else None)


def wait_at_destination(limiters: tuple[Limiter, ...], now: float) -> Wait | None:
    """Return the reason for which a destination takes no call whatever its rate: an open circuit, or a pause."""
    for limiter in limiters:
        name, circuit = limiter.value or "the provider", limiter.circuit
        if circuit.state != "closed":
            error = circuit.error.code if circuit.error else "unknown"
            detail = f"The circuit of {name} is open: it refuses every call ({error}). One item probes it now and then."
            return Wait("circuit_open", detail, circuit.next_probe_at if circuit.next_probe_at > now else None)
        if limiter.backoff_until > now:
            reason = f" ({limiter.backoff_reason})" if limiter.backoff_reason else ""
            return Wait("destination_backoff", f"{name} asked for a pause{reason}.", limiter.backoff_until)
    return None


def concurrency_wait(limiters: tuple[Limiter, ...]) -> Wait:
    """Return the reason for which a destination takes no further call beside those in flight."""
    full = (t for t in limiters if t.terms.concurrency is not None and t.in_flight >= t.terms.concurrency)
    name = next((limiter.value for limiter in full), "") or "the workload"
    return Wait("concurrency_limit", f"As many items as {name} allows at a time are in flight.")


def wait_of_partition(window: InFlightWindow, partition: str, now: float, wanted: int = 1) -> Wait | None:
    """Return the reason for which no `wanted` further items go to a partition at present; None if they may, or as many
    as its rate ever allows at once."""
    limiters = window.limits.limiters_of(partition)
    if wait := wait_at_destination(limiters, now):
        return wait
    for limiter in limiters:
        if limiter.terms.concurrency is not None and limiter.in_flight >= limiter.terms.concurrency:
            return concurrency_wait((limiter,))
        if limiter.rate is not None and limiter.lacks(wanted, now):
            room, at = limiter.room(1, now)
            name = limiter.value or "the workload"
            detail = f"The rate of {name} allows {limiter.rate.per_second:g} items in a second."
            return Wait("rate_limit", detail, None if room else at)
    return None


def is_held(batch_id: UUID, queue: BatchQueue | None, window: InFlightWindow) -> bool:
    """Tell whether items of a batch wait in memory or are in flight."""
    return bool(queue is not None and queue.partition_queues) or window.in_flight_by_batch[batch_id] > 0
