"""The dispatcher's SQL statements by name, and the rows that several stores write."""

from uuid import UUID

from services.dispatcher.domain.retry_policy import Retry
from shared.postgres.queries import load_queries

SQL = load_queries("services.dispatcher.persistence")
_MAX_MESSAGE = 500
"""Characters of the message of a retry's error that are kept."""
PageKey = tuple[UUID, int, int]
"""Batch, page and segment."""


def retry_row(retry: Retry) -> tuple[object, ...]:
    """Return a retry as `save_retries` takes it."""
    names = (retry.batch_id, retry.ordinal, retry.round, retry.partition, retry.attempt, retry.waits)
    error: tuple[str | None, str | None] = (None, None)
    if retry.error is not None:
        error = retry.error.code, retry.error.message[:_MAX_MESSAGE].replace("\0", "")  # PostgreSQL refuses NUL
    return (*names, retry.delay_s, retry.item, retry.quarantined, *error)
