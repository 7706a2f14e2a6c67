"""Tests that the ledger reads reports as the contract's model does."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from batchyard_contracts.v1.flow import ChunkProcessed
from services.aggregator.domain.outcome_rows import COLUMNS, outcome_rows
from services.aggregator.domain.report import Report
from services.dispatcher.domain.report import Report as DispatcherReport
from tests.support.ledger_messages import batch
from tests.support.report_bodies import HEAD, ODD, REFUSED, bodies


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)


def as_read(report: Report) -> list[object]:
    """Return the rows of a report, with parsed results."""
    place = batch(round=report.round, total=None)
    found: list[dict[str, Any]] = [dict(zip(COLUMNS, row, strict=True)) for row in outcome_rows(report, place)]
    return [tuple((row | {"result": row["result"] and json.loads(row["result"])}).values()) for row in found]


def agree(body: bytes) -> None:
    try:
        contract = ChunkProcessed.decode(body)
    except ValidationError:
        try:
            report = Report.decode(body)
        except ValidationError:
            return
        is_shorter = len(report.outcomes) < len(json.loads(body)["outcomes"])
        assert is_shorter or any(b"outcome_unreadable" in bytes(outcome.error) for outcome in report.outcomes)
        return
    report = Report.decode(body)
    assert as_read(report) == as_read(Report.of(contract))
    for name in HEAD:
        assert getattr(report, name) == getattr(contract, name)


@given(bodies)
def test_any_report_is_read_as_the_contract_reads_it(body: bytes) -> None:
    agree(body)


@pytest.mark.parametrize("body", [*REFUSED.values(), *ODD.values()], ids=[*REFUSED, *ODD])
def test_unusual_reports_are_read_as_the_contract_reads_them(body: bytes) -> None:
    agree(body)


def test_results_keep_their_bytes() -> None:
    body = json.dumps(HEAD | {"outcomes": [{"ordinal": 1, "status": "succeeded", "result": {"b": 1, "a": "é"}}]})
    (row,) = outcome_rows(Report.decode(body.encode()), batch(total=None))
    assert row[COLUMNS.index("result")] == b'{"b": 1, "a": "\\u00e9"}'


@example({"large": 2**70, "beside": [2**64, "text", True, None, 1.5]})
@example(-(2**70))
@given(st.recursive(st.integers(-(2**90), 2**90) | st.booleans() | st.text(max_size=3), _nested, max_leaves=6))
def test_whole_numbers_of_any_length_keep_all_their_digits_when_the_contract_has_to_read_the_report(
    result: Any,
) -> None:
    body = json.dumps(HEAD | {"round": "1", "outcomes": [{"ordinal": 1, "status": "succeeded", "result": result}]})
    (row,) = outcome_rows(Report.decode(body.encode()), batch(total=None))
    kept = row[COLUMNS.index("result")]
    assert isinstance(kept, bytes)
    assert json.loads(kept) == result


UNREADABLE = {
    "half a surrogate pair": '"\\ud83d"',
    "nesting that the contract refuses": '{"a":' * 250 + "1" + "}" * 250,
    "nesting that all fast readers refuse": "[" * 600 + "]" * 600,
}


@pytest.mark.parametrize("result", UNREADABLE.values(), ids=UNREADABLE)
def test_an_outcome_that_cannot_be_read_fails_its_own_item_alone(result: str) -> None:
    outcomes = [
        '{"ordinal": 0, "status": "succeeded", "result": {"n": 1}}',
        '{"ordinal": 1, "status": "succeeded", "result": ' + result + "}",
        '{"ordinal": 2, "status": "failed", "error": {"code": "NOT A CODE!"}}',
        '{"ordinal": 3, "status": "retry", "error": {"code": "NOT A CODE!"}}',
        '{"ordinal": 4}',
        '{"ordinal": 5, "status": "done"}',
    ]
    body = json.dumps(HEAD)[:-1] + ', "outcomes": [' + ", ".join(outcomes) + "]}"
    rows = outcome_rows(Report.decode(body.encode()), batch(total=None))
    found = [[row[COLUMNS.index(name)] for name in ("ordinal", "status", "error_code")] for row in rows]
    assert found == [
        [0, "succeeded", None],
        *([ordinal, "failed", "outcome_unreadable"] for ordinal in (1, 2, 4, 5)),
    ]


@pytest.mark.parametrize("outcome", ['{"ordinal": -1, "status": "succeeded"}', '{"status": "failed"}', "7", "null"])
def test_an_outcome_that_names_no_item_is_left_out(outcome: str) -> None:
    body = json.dumps(HEAD)[:-1] + f', "outcomes": [{outcome}, {{"ordinal": 0, "status": "succeeded"}}]}}'
    for reader in (Report, DispatcherReport):
        report = reader.decode(body.encode())
        outcomes = report.outcomes() if isinstance(report, DispatcherReport) else {o.ordinal for o in report.outcomes}
        assert set(outcomes) == {0}


@pytest.mark.parametrize("outcomes", ["7", "null", "{}"])
def test_a_report_without_outcomes_is_refused(outcomes: str) -> None:
    with pytest.raises(ValidationError):
        Report.decode((json.dumps(HEAD)[:-1] + f', "outcomes": {outcomes}}}').encode())
