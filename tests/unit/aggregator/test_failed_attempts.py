"""Attempts that another one follows are kept with their errors; others are not."""

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import ItemError
from services.aggregator.domain.failed_attempts import MAX_MESSAGE, failed_attempts
from services.aggregator.domain.report import Report
from tests.support.ledger_messages import BATCH, processed, settled


def retry(ordinal: int, message: str = "") -> ItemOutcome:
    error = ItemError(code="http_503", message=message)
    return ItemOutcome(ordinal=ordinal, status="retry", error=error, elapsed_ms=7)


def test_attempts_that_are_repeated_are_found_in_the_order_of_items() -> None:
    report = Report.of(processed({3: retry(3, "a\x07b"), 1: retry(1), 2: "succeeded", 4: "failed"}, attempt=2))
    found = failed_attempts([report, report, settled("failed", [9])])
    assert [(row.ordinal, row.attempt, row.elapsed_ms, row.error_code) for row in found] == [
        (1, 2, 7, "http_503"), (3, 2, 7, "http_503"),
    ]  # fmt: skip
    assert (found[1].batch_id, found[1].error_message) == (BATCH, "a b")


def test_a_report_without_retries_is_not_looked_at() -> None:
    report = Report.of(processed({1: "succeeded"}, ended=1))
    assert failed_attempts([report]) == []


def test_long_messages_are_cut_and_a_missing_error_is_named() -> None:
    found = failed_attempts([Report.of(processed({1: retry(1, "x" * 1999), 2: "retry"}))])
    assert [len(found[0].error_message), found[1].error_code] == [MAX_MESSAGE, "unknown"]
