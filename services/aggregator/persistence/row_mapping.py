"""Maps batches to rows of the table `batches` and back."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from batchyard_contracts.v1.values import NotificationTargets
from services.aggregator.domain.batch import NO_TARGETS, Batch, BatchHeader
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.terms_history import TermsHistory

_COUNTS = ("succeeded", "failed", "cancelled", "expired", "duplicate", "cached", "units")


def batch_from_row(row: asyncpg.Record) -> Batch:
    """Return the batch in a row."""
    return Batch(
        key=row["id"],
        batch_id=row["batch_id"],
        header=_header(row),
        priority=row["priority"],
        round=row["round"],
        total=row["total"],
        units_total=row["units_total"],
        counters=OutcomeCounters(*(row[name] for name in _COUNTS)),
        paused=row["paused"],
        result=row["result"],
        finished_at=row["finished_at"],
        changed_at=row["changed_at"],
        paused_or_resumed_at=row["paused_or_resumed_at"],
        priority_changed_at=row["priority_changed_at"],
        cancel_asked_at=row["cancel_asked_at"],
        retry_asked_at=row["retry_asked_at"],
        reopened_at=row["reopened_at"],
        terms_history=_load_terms(row["terms"]) if row["terms"] else None,
        stop_reason=row["stopped"],
        failed_before=row["failed_before"],
        ended_before=row["ended_before"],
        summary_due_at=row["summary_due_at"],
        summary_requests=row["summary_asked"],
        version=row["version"],
        stuck_version=row["stuck_version"],
    )


def save_batch_row(batch: Batch) -> tuple[Any, ...]:
    """Return the values of a batch for `save_batches`."""
    counters = batch.counters
    return (
        batch.key,
        batch.priority,
        batch.status,
        batch.round,
        batch.total,
        counters.succeeded,
        counters.failed,
        counters.cancelled,
        counters.expired,
        counters.duplicate,
        batch.paused,
        batch.result,
        batch.finished_at,
        batch.changed_at,
        batch.paused_or_resumed_at,
        batch.priority_changed_at,
        batch.cancel_asked_at,
        batch.retry_asked_at,
        batch.reopened_at,
        _dump_terms(batch.terms_history) if batch.terms_history else None,
        batch.stop_reason,
        batch.failed_before,
        batch.ended_before,
        counters.cached,
        batch.summary_due_at,
        batch.summary_requests,
        counters.units,
        batch.units_total,
    )


def header_arguments(key: int | UUID, header: BatchHeader) -> tuple[Any, ...]:
    """Return the arguments of `save_header`, which are also the first columns of `create_batches`."""
    return (
        key,
        header.owner,
        header.workload,
        header.name,
        orjson.dumps(header.labels).decode(),
        header.accepted_at,
        header.traceparent,
        header.has_summary,
        header.has_source,
        header.unit,
        None if header.notify is None else _dump_targets(header.notify),
    )


def create_batch_arguments(batch: Batch, header: BatchHeader) -> tuple[Any, ...]:
    """Return a row of `create_batches`."""
    terms = _dump_terms(batch.terms_history) if batch.terms_history else None
    return (*header_arguments(batch.batch_id, header), batch.priority, batch.status, batch.total, terms)


def record_few_row(batch: Batch) -> tuple[Any, ...]:
    """Return the values of a batch for `record_few`: what outcomes change in it."""
    counters = batch.counters
    return (
        batch.key,
        batch.version,
        batch.status,
        counters.succeeded,
        counters.failed,
        counters.cancelled,
        counters.expired,
        counters.duplicate,
        counters.cached,
        batch.result,
        batch.finished_at,
        batch.changed_at,
        batch.stop_reason,
        batch.summary_due_at,
        batch.summary_requests,
    )


def _dump_terms(history: TermsHistory) -> str:
    return orjson.dumps(history.entries).decode()


def _load_terms(text: str) -> TermsHistory:
    return TermsHistory({name: (value, datetime.fromisoformat(at)) for name, (value, at) in orjson.loads(text).items()})


def _dump_targets(targets: NotificationTargets) -> str:
    return "{}" if targets == NO_TARGETS else targets.model_dump_json()


def _load_targets(text: str) -> NotificationTargets:
    return NO_TARGETS if text == "{}" else NotificationTargets.model_validate_json(text)


def _header(row: asyncpg.Record) -> BatchHeader | None:
    if row["owner"] is None:
        return None
    return BatchHeader(
        owner=row["owner"],
        workload=row["workload"],
        accepted_at=row["accepted_at"],
        name=row["name"],
        labels=orjson.loads(row["labels"]),
        traceparent=row["traceparent"],
        has_summary=row["summarize"],
        has_source=row["sourced"],
        unit=row["unit"],
        notify=None if row["notify"] is None else _load_targets(row["notify"]),
    )
