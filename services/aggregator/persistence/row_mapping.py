"""Maps batches to rows of the table `batches` and back.

A value that this version cannot read costs its batch that value, with a line in the log: no other batch waits for it.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

import orjson
import structlog
from pydantic_core import from_json

from batchyard_contracts.v1.values import NotificationTargets
from services.aggregator.domain.batch import NO_TARGETS, Batch, BatchHeader
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.summary import Summary
from services.aggregator.domain.terms_history import TermsHistory

T = TypeVar("T")
log = structlog.get_logger()


class Row(Protocol):
    """A row of a table."""

    def __getitem__(self, column: str, /) -> Any:
        """Return the value of a column."""


_COUNTS = ("succeeded", "failed", "cancelled", "expired", "duplicate", "cached", "units")


def batch_from_row(row: Row) -> Batch:
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
        terms_history=_readable(row, "terms", _load_terms, None),
        stop_reason=row["stopped"],
        failed_before=row["failed_before"],
        ended_before=row["ended_before"],
        summary_due_at=row["summary_due_at"],
        summary_requests=row["summary_asked"],
        version=row["version"],
        stuck_version=row["stuck_version"],
        outcomes_deleted_at=row["outcomes_deleted_at"],
        is_deleted=row["deleted_at"] is not None,
    )


def summary_from_row(row: Row) -> Summary:
    """Return the summary of a round."""
    try:
        return Summary(from_json(row["summary"] or b"null"), row["error"])
    except ValueError as error:
        log.error("stored summary cannot be read", batch=row["id"], error=str(error)[:300])
        return Summary(error="The stored summary cannot be read.")


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
        orjson.dumps(header.metadata).decode() if header.metadata else None,
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


def _load_labels(text: str) -> dict[str, str]:
    return dict(orjson.loads(text))


def _load_metadata(text: str) -> dict[str, Any]:
    return dict(orjson.loads(text))


def _readable(row: Row, name: str, load: Callable[[str], T], default: T) -> T | None:
    """Return the value of a column, None if it is null; the default if it cannot be read."""
    if row[name] is None:
        return None
    try:
        return load(row[name])
    except (ValueError, TypeError, AttributeError) as error:
        log.error("stored value cannot be read", batch_id=str(row["batch_id"]), column=name, error=str(error)[:300])
        return default


def _header(row: Row) -> BatchHeader | None:
    if row["owner"] is None:
        return None
    return BatchHeader(
        owner=row["owner"],
        workload=row["workload"],
        accepted_at=row["accepted_at"],
        name=row["name"],
        labels=_readable(row, "labels", _load_labels, {}) or {},
        traceparent=row["traceparent"],
        has_summary=row["summarize"],
        has_source=row["sourced"],
        unit=row["unit"],
        notify=_readable(row, "notify", _load_targets, NO_TARGETS),
        metadata=_readable(row, "metadata", _load_metadata, {}) or {},
    )
