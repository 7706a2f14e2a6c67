"""Columns of a table of outcomes that tell what became of each item."""

from typing import Any

from services.ingest.queries.result_page import Outcome

STATUS_COLUMNS = (
    "ordinal",
    "custom_id",
    "status",
    "attempts",
    "round",
    "error_code",
    "error_message",
    "error_scope",
    "duplicate_of",
    "duplicate_of_batch",
    "elapsed_ms",
    "cached",
)


def status_cells(outcome: Outcome, message: str | None, cached: Any) -> tuple[Any, ...]:
    """Return the cells of an outcome, with the message of its error and the mark of a cached result as the format has
    them."""
    error = outcome.error
    return (
        outcome.ordinal,
        outcome.custom_id,
        outcome.status,
        outcome.attempts,
        outcome.round,
        error.code if error else None,
        message,
        error.scope if error else None,
        outcome.duplicate_of,
        outcome.duplicate_of_batch,
        outcome.elapsed_ms,
        cached,
    )
