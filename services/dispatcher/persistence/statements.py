"""The dispatcher's SQL statements by name, and rows as the columns that they take."""

from collections.abc import Sequence
from uuid import UUID

from services.dispatcher.domain.retry_policy import Retry
from shared.postgres.queries import load_queries

SQL = load_queries("services.dispatcher.persistence")
PageKey = tuple[UUID, int, int]
"""Batch, page and segment."""


def columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Return rows as columns, each an array for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def retry_row(retry: Retry) -> tuple[object, ...]:
    """Return a retry as `save_retries` takes it."""
    names = (retry.batch_id, retry.ordinal, retry.round, retry.partition, retry.attempt, retry.waits)
    return (*names, retry.delay_s, retry.item, retry.quarantined)
