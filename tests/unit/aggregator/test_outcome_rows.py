"""Tests of which outcomes become rows, and that the tables accept every value."""

import json
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.v1.flow import ItemOutcome, ItemsSettled, SettledItem
from batchyard_contracts.v1.queries import ResultsReply
from batchyard_contracts.v1.values import MAX_RESULT_BYTES, MAX_RESULT_DEPTH, ItemError, StoredResult
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.outcome_rows import (
    COLUMNS,
    count_rows,
    outcome_rows,
)
from services.aggregator.domain.report import Report
from tests.support import ledger_messages
from tests.support.growth import assert_linear
from tests.support.ledger_messages import BATCH, at, batch, settled


def processed(*arguments: Any, **fields: Any) -> Report:
    """Return a worker's report as the consumer decodes it."""
    return Report.decode(ledger_messages.processed(*arguments, **fields).encode())


def only_row(message: Any, **fields: Any) -> dict[str, Any]:
    (row,) = outcome_rows(message, batch(**fields))
    return dict(zip(COLUMNS, row, strict=True))


def test_a_success_becomes_a_row() -> None:
    outcome = ItemOutcome(ordinal=7, status="succeeded", custom_id="c7", result={"n": 1}, elapsed_ms=12, cached=True)
    assert only_row(processed({7: outcome}, attempt=3)) == {
        "batch": 1,
        "ordinal": 7,
        "round": 1,
        "attempts": 3,
        "elapsed_ms": 12,
        "duplicate_of": None,
        "cached": True,
        "status": "succeeded",
        "custom_id": "c7",
        "error_code": None,
        "error_message": None,
        "error_scope": None,
        "result": b'{"n":1}',
        "duplicate_of_batch": None,
        "stored_sha256": None,
        "stored_bytes": None,
    }


def test_a_reference_becomes_columns_unless_the_result_is_there() -> None:
    stored = StoredResult(sha256="ab" * 32, bytes=100_000)
    for result, expected in ((None, (None, b"\xab" * 32, 100_000)), ("here", (b'"here"', None, None))):
        row = only_row(processed({0: ItemOutcome(ordinal=0, status="succeeded", result=result, stored=stored)}))
        assert (row["result"], row["stored_sha256"], row["stored_bytes"]) == expected


def test_cached_results_are_counted() -> None:
    outcomes = {n: ItemOutcome(ordinal=n, status="succeeded", result=n, cached=n < 2) for n in range(5)}
    assert count_rows(outcome_rows(processed(outcomes), batch())) == OutcomeCounters(succeeded=5, cached=2)


def test_a_settled_failure_becomes_a_row() -> None:
    error = ItemError(code="timeout", message="took too long", scope="provider")
    item = SettledItem(ordinal=2, attempts=4, error=error)
    row = only_row(ItemsSettled(batch_id=BATCH, round=1, status="failed", items=[item]))
    assert (row["status"], row["attempts"], row["elapsed_ms"], row["result"]) == ("failed", 4, None, None)
    assert (row["error_code"], row["error_message"], row["error_scope"]) == ("timeout", "took too long", "provider")


def test_a_duplicate_names_its_original() -> None:
    item = SettledItem(ordinal=2, duplicate_of=0)
    row = only_row(ItemsSettled(batch_id=BATCH, round=1, status="duplicate", items=[item]))
    assert (row["status"], row["duplicate_of"]) == ("duplicate", 0)


def test_a_duplicate_of_another_batch_names_the_batch() -> None:
    item = SettledItem(ordinal=2, duplicate_of=0, duplicate_of_batch=UUID(int=7))
    row = only_row(ItemsSettled(batch_id=BATCH, round=1, status="duplicate", items=[item]))
    assert (row["duplicate_of"], row["duplicate_of_batch"]) == (0, UUID(int=7))


def test_retries_and_continuations_become_no_rows() -> None:
    found = outcome_rows(processed({0: "retry", 1: "continued", 2: "cancelled", 3: "succeeded"}), batch())
    assert [row[1] for row in found] == [2, 3]


def test_outcomes_of_other_or_finished_rounds_become_no_rows() -> None:
    assert outcome_rows(processed({0: "succeeded"}, round_=1), batch(round=2)) == []
    assert outcome_rows(settled("expired", [0], round_=3), batch(round=2)) == []
    ended = batch(total=1, counters=OutcomeCounters(failed=1)).finish_if_complete(at(1))
    assert outcome_rows(processed({0: "succeeded"}), ended) == []


def test_ordinals_above_the_total_become_no_rows() -> None:
    assert outcome_rows(processed({2: "succeeded"}), batch(total=2)) == []
    assert outcome_rows(settled("expired", [2]), batch(total=2)) == []
    assert len(outcome_rows(processed({2: "succeeded"}), batch(total=None))) == 1


@pytest.mark.parametrize(
    "value", ["\x00", 2**80, [-(2**70), True, 1.5, None], {"deep": {"er": 2**64}}, "ü \u2028", 0, ""]
)
def test_every_json_value_is_kept(value: Any) -> None:
    row = only_row(processed({0: ItemOutcome(ordinal=0, status="succeeded", result={"v": value})}))
    assert json.loads(row["result"]) == {"v": value}


def test_control_characters_are_replaced_and_long_ids_cut() -> None:
    error = ItemError(code="odd", message="a\x00b\x07c\nd")
    row = only_row(processed({0: ItemOutcome(ordinal=0, status="failed", custom_id="c\x00" + "x" * 200, error=error)}))
    assert row["error_message"] == "a b c\nd"
    assert row["custom_id"] == ("c " + "x" * 200)[:128]


def test_numbers_out_of_range_are_clamped() -> None:
    row = only_row(processed({0: ItemOutcome(ordinal=0, status="succeeded", elapsed_ms=2**40)}))
    assert row["elapsed_ms"] == 2**31 - 1
    row = only_row(processed({0: ItemOutcome(ordinal=0, status="succeeded", elapsed_ms=-5)}))
    assert row["elapsed_ms"] == 0


def test_a_result_too_large_for_a_reply_fails_its_item() -> None:
    outcome = ItemOutcome(ordinal=0, status="succeeded", result="x" * MAX_RESULT_BYTES)
    row = only_row(processed({0: outcome}))
    assert (row["status"], row["error_code"], row["result"]) == ("failed", "result_too_large", None)
    assert str(MAX_RESULT_BYTES + 2) in row["error_message"]


def nested(levels: int) -> str:
    return '{"a":' * (levels - 1) + "[]" + "}" * (levels - 1)


def deep_report(result: str) -> Report:
    body = ledger_messages.processed({0: ItemOutcome(ordinal=0, status="succeeded", result="RESULT")}).encode()
    return Report.decode(body.replace(b'"RESULT"', result.encode()))


@pytest.mark.parametrize("levels", [1, 100, MAX_RESULT_DEPTH])
def test_the_deepest_result_that_is_kept_can_be_read(levels: int) -> None:
    row = only_row(deep_report(nested(levels)))
    assert (row["status"], row["result"]) == ("succeeded", nested(levels).encode())
    page = b'{"items": [{"ordinal": 0, "status": "succeeded", "round": 1, "result": %s}]}' % row["result"]
    assert ResultsReply.decode(page).items[0].result == json.loads(nested(levels))


@pytest.mark.parametrize("levels", [MAX_RESULT_DEPTH + 1, 197, 250])
def test_an_item_whose_result_is_too_deep_to_be_read_fails(levels: int) -> None:
    row = only_row(deep_report(nested(levels)))
    assert (row["status"], row["error_code"], row["result"]) == ("failed", "result_too_deep", None)


def test_brackets_in_texts_and_beside_each_other_are_no_depth() -> None:
    result = json.dumps({'"[{\\': "[{" * 200, "rows": [{"a": [r"\"[["]}] * 200})
    assert only_row(deep_report(result))["result"] == result.encode()


@pytest.mark.parametrize("piece", ["[],", '"[",', r'"\"[",'])
def test_the_depth_of_a_result_is_found_in_time_proportional_to_its_length(piece: str) -> None:
    reports = {n: deep_report("[" + (piece * n).rstrip(",") + "]") for n in (2000, 4000, 8000)}
    assert_linear(lambda n: outcome_rows(reports[n], batch()), 2000)
