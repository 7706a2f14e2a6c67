"""Attempts that failed and are followed by another one, as workers report them."""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from batchyard_contracts.v1.flow import ItemsSettled
from batchyard_contracts.v1.values import ItemError
from services.aggregator.domain.outcome_rows import strip_control_characters
from services.aggregator.domain.report import Report, error_of

MAX_MESSAGE = 500
"""Largest number of characters of an error that are kept with an attempt."""
_UNKNOWN = ItemError(code="unknown", message="The worker gave no error.")


class AttemptRow(NamedTuple):
    """Attempt of an item that failed."""

    batch_id: UUID
    ordinal: int
    round: int
    attempt: int
    elapsed_ms: int
    error_code: str
    error_message: str


def failed_attempts(reports: Iterable[Report | ItemsSettled]) -> list[AttemptRow]:
    """Return the failed attempts of these reports, in the order of batches and items. Those that ended an item are
    with its outcome."""
    found = {}
    for report in reports:
        if not isinstance(report, Report) or report.ended is not None:
            continue
        for outcome in report.outcomes:
            if outcome.status == "retry":
                error = error_of(outcome) or _UNKNOWN
                message = strip_control_characters(error.message)[:MAX_MESSAGE]
                found[report.batch_id, outcome.ordinal, report.round, report.attempt] = AttemptRow(
                    report.batch_id,
                    outcome.ordinal,
                    report.round,
                    report.attempt,
                    outcome.elapsed_ms,
                    error.code,
                    message,
                )
    return [found[key] for key in sorted(found)]
