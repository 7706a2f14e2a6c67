"""Builds the events and states that the aggregator publishes about a batch."""

import math
from datetime import datetime

from batchyard_contracts.v1.events import BatchFinished, BatchProgressed, BatchStuck
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import MAX_ETA_S, Counts, Units
from services.aggregator.domain.batch import Batch, BatchHeader
from services.aggregator.domain.stuck import stuck_reason
from services.aggregator.domain.summary import NO_SUMMARY, Summary

MAX_PERCENT_BEFORE_END = 99.9
"""Largest completed part of a batch that has not ended, in percent."""
MAX_REOPENED_ORDINALS = 10_000
"""Ordinals per `items.reopened.v1`, which bounds the size of the message."""


def counts(batch: Batch) -> Counts:
    """Return the public counters; `total` is the sum of all others."""
    counters = batch.counters
    return Counts(
        total=batch.total,
        succeeded=counters.succeeded,
        failed=counters.failed,
        cancelled=counters.cancelled,
        expired=counters.expired,
        duplicate=counters.duplicate,
        remaining=batch.remaining,
        cached=counters.cached,
        units=_units(batch),
    )


def progress_event(batch: Batch, items_per_s: float | None, share: float | None = None) -> BatchProgressed | None:
    """Return the progress of a batch; None while its header, and thus its owner, is unknown."""
    if batch.header is None:
        return None
    return BatchProgressed(
        workload=batch.header.workload,
        owner=batch.header.owner,
        batch_id=batch.batch_id,
        round=batch.round,
        status=batch.status,
        counts=counts(batch),
        items_per_s=_round_rate(items_per_s),
        eta_s=eta_s(batch, items_per_s),
        progress=share,
        percent=percent(batch, share),
        at=batch.changed_at or batch.header.accepted_at,
    )


def finished_event(batch: Batch, summary: Summary = NO_SUMMARY) -> BatchFinished:
    """Return the end of a round; raise `ValueError` if the batch has not finished."""
    if batch.header is None or batch.result is None or batch.finished_at is None:
        raise ValueError(f"batch {batch.batch_id} has not finished")
    return BatchFinished(
        workload=batch.header.workload,
        owner=batch.header.owner,
        batch_id=batch.batch_id,
        round=batch.round,
        result=batch.result,
        counts=counts(batch),
        name=batch.header.name,
        labels=batch.header.labels,
        metadata=batch.header.metadata,
        priority=batch.priority,
        accepted_at=batch.header.accepted_at,
        finished_at=batch.finished_at,
        stop_reason=batch.stop_reason,
        summary=summary.value,
        summary_error=summary.error,
    )


def stuck_event(batch: Batch, header: BatchHeader, at: datetime) -> BatchStuck:
    """Return the event that a batch is stuck."""
    return BatchStuck(
        workload=header.workload,
        owner=header.owner,
        batch_id=batch.batch_id,
        round=batch.round,
        counts=counts(batch),
        name=header.name,
        reason=stuck_reason(batch),
        since=batch.changed_at or header.accepted_at,
        at=at,
    )


def batch_state(batch: Batch, items_per_s: float | None, summary: Summary = NO_SUMMARY) -> BatchState:
    """Return the batch as its owner sees it; raise `ValueError` while its header is unknown."""
    if batch.header is None:
        raise ValueError(f"the header of batch {batch.batch_id} is not known")
    return BatchState(
        batch_id=batch.batch_id,
        owner=batch.header.owner,
        workload=batch.header.workload,
        priority=batch.priority,
        status=batch.status,
        round=batch.round,
        result=batch.result,
        counts=counts(batch),
        name=batch.header.name,
        labels=batch.header.labels,
        metadata=batch.header.metadata,
        items_per_s=_round_rate(items_per_s),
        eta_s=eta_s(batch, items_per_s),
        percent=percent(batch),
        accepted_at=batch.header.accepted_at,
        controlled_at=batch.controlled_at,
        finished_at=batch.finished_at,
        changed_at=batch.changed_at,
        outcomes_deleted_at=batch.outcomes_deleted_at,
        terms=batch.terms,
        stop_reason=batch.stop_reason,
        waiting=stuck_reason(batch) if batch.is_stuck else None,
        summary=summary.value,
        summary_error=summary.error,
    )


def eta_s(batch: Batch, items_per_s: float | None) -> float | None:
    """Return the seconds until the end at this throughput; None if unknown."""
    if not items_per_s or batch.total is None or batch.status != "running":
        return None
    return min(round(batch.remaining / items_per_s, 1), MAX_ETA_S)


def percent(batch: Batch, share: float | None = None) -> float | None:
    """Return the completed part of a batch, rounded down, and below 100 before its end; None while the number of items
    is unknown. `share`: completed share of the work, if items report their own progress."""
    if batch.is_finished:
        return 100.0
    if batch.total is None:
        return None
    done = share if share is not None else batch.counters.ended / batch.total if batch.total else 0.0
    return min(MAX_PERCENT_BEFORE_END, math.floor(done * 1000) / 10)


def _units(batch: Batch) -> Units | None:
    if batch.header is None or batch.header.unit is None:
        return None
    return Units(name=batch.header.unit, done=batch.counters.units, total=batch.units_total)


def _round_rate(items_per_s: float | None) -> float | None:
    return None if items_per_s is None else round(items_per_s, 2)
