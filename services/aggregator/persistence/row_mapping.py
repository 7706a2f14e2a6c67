"""Reads and writes a batch as a row of the table `batches`."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from services.aggregator.domain.batch import Batch, Header
from services.aggregator.domain.counters import Tally
from services.aggregator.domain.terms_history import Told

_COUNTS = ("succeeded", "failed", "cancelled", "expired", "duplicate", "cached", "units")


def batch_of(row: asyncpg.Record) -> Batch:
    """The batch in a row."""
    return Batch(
        key=row["id"],
        batch_id=row["batch_id"],
        header=_header(row),
        priority=row["priority"],
        round=row["round"],
        total=row["total"],
        units_total=row["units_total"],
        tally=Tally(*(row[name] for name in _COUNTS)),
        paused=row["paused"],
        result=row["result"],
        finished_at=row["finished_at"],
        changed_at=row["changed_at"],
        paused_or_resumed_at=row["paused_or_resumed_at"],
        priority_changed_at=row["priority_changed_at"],
        cancel_asked_at=row["cancel_asked_at"],
        retry_asked_at=row["retry_asked_at"],
        reopened_at=row["reopened_at"],
        told=_told(row["terms"]) if row["terms"] else None,
        stopped=row["stopped"],
        failed_before=row["failed_before"],
        ended_before=row["ended_before"],
        summary_due_at=row["summary_due_at"],
        summary_asked=row["summary_asked"],
        version=row["version"],
    )


def state_of(batch: Batch) -> tuple[Any, ...]:
    """The arguments of `save_batch`."""
    tally = batch.tally
    return (
        batch.key,
        batch.priority,
        batch.status,
        batch.round,
        batch.total,
        tally.succeeded,
        tally.failed,
        tally.cancelled,
        tally.expired,
        tally.duplicate,
        batch.paused,
        batch.result,
        batch.finished_at,
        batch.changed_at,
        batch.paused_or_resumed_at,
        batch.priority_changed_at,
        batch.cancel_asked_at,
        batch.retry_asked_at,
        batch.reopened_at,
        _said(batch.told) if batch.told else None,
        batch.stopped,
        batch.failed_before,
        batch.ended_before,
        tally.cached,
        batch.summary_due_at,
        batch.summary_asked,
        tally.units,
        batch.units_total,
    )


def header_of(key: int | UUID, header: Header) -> tuple[Any, ...]:
    """The arguments of `save_header`, and the first ones of `begin_batch`."""
    return (
        key,
        header.owner,
        header.workload,
        header.name,
        orjson.dumps(header.labels).decode(),
        header.accepted_at,
        header.traceparent,
        header.summarize,
        header.sourced,
        header.unit,
    )


def beginning_of(batch: Batch, header: Header) -> tuple[Any, ...]:
    """The arguments of `begin_batch`."""
    told = _said(batch.told) if batch.told else None
    return (*header_of(batch.batch_id, header), batch.priority, batch.status, batch.total, told)


def course_of(batch: Batch) -> tuple[Any, ...]:
    """The first arguments of `record_few`: what outcomes change in a batch."""
    tally = batch.tally
    return (
        batch.key,
        batch.version,
        batch.status,
        tally.succeeded,
        tally.failed,
        tally.cancelled,
        tally.expired,
        tally.duplicate,
        tally.cached,
        batch.result,
        batch.finished_at,
        batch.changed_at,
        batch.stopped,
        batch.summary_due_at,
        batch.summary_asked,
    )


def _said(told: Told) -> str:
    return orjson.dumps(told.said).decode()


def _told(text: str) -> Told:
    return Told({name: (value, datetime.fromisoformat(at)) for name, (value, at) in orjson.loads(text).items()})


def _header(row: asyncpg.Record) -> Header | None:
    if row["owner"] is None:
        return None
    return Header(
        owner=row["owner"],
        workload=row["workload"],
        accepted_at=row["accepted_at"],
        name=row["name"],
        labels=orjson.loads(row["labels"]),
        traceparent=row["traceparent"],
        summarize=row["summarize"],
        sourced=row["sourced"],
        unit=row["unit"],
    )
