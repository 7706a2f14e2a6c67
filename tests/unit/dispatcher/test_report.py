"""The dispatcher reads reports as the contract does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from batchyard_contracts.v1.flow import ChunkProcessed
from services.aggregator.domain.report import Report as LedgerReport
from services.dispatcher.domain.report import Report
from tests.support.report_bodies import HEAD, ODD, REFUSED, bodies, body


def agree(body: bytes) -> None:
    try:
        contract = ChunkProcessed.decode_leniently(body)
    except ValidationError:
        with pytest.raises(ValidationError):
            Report.decode(body)
        return
    report = Report.decode(body)
    outcomes = report.outcomes()
    assert (report.chunk_id, report.fence, report.final) == (contract.chunk_id, contract.fence, contract.final)
    assert (report.count, report.busy_s) == (len(contract.outcomes), contract.busy_ms / 1000)
    first = {o.ordinal: o for o in reversed(contract.outcomes)}
    assert outcomes.keys() == first.keys()
    for ordinal, outcome in first.items():
        if outcome.status in {"retry", "continued"}:
            found = outcomes[ordinal]
            assert found is not None
            kept = {"ordinal", "status", "custom_id", "error", "delay_s", "state"}
            assert found.model_dump(include=kept) == outcome.model_dump(include=kept)
        else:
            assert outcomes[ordinal] is None


@given(bodies)
def test_report_is_read_as_the_contract_reads_it(body: bytes) -> None:
    agree(body)


@pytest.mark.parametrize("body", [*REFUSED.values(), *ODD.values()], ids=[*REFUSED, *ODD])
def test_unusual_report_is_read_as_the_contract_reads_it(body: bytes) -> None:
    agree(body)


def test_ended_outcomes_are_parsed_only_on_request() -> None:
    outcomes = [{"ordinal": n, "status": "succeeded"} for n in range(3)]
    report = Report.decode(json.dumps(HEAD | {"ended": 3, "outcomes": outcomes}, separators=(",", ":")).encode())
    assert (report.parsed, report.count, report.ended) == (None, 3, frozenset({0, 1, 2}))
    assert report.outcomes() == {0: None, 1: None, 2: None}


def test_ended_count_is_used_only_before_the_outcomes() -> None:
    report = Report.decode(body({"ordinal": 0, "status": "retry"})[:-1] + b',"ended":1}')
    assert report.outcomes()[0] is not None


UNREADABLE = {
    "half a surrogate pair": '"error": {"code": "x", "message": "\\ud83d"}',
    "a code that is none": '"error": {"code": "NOT A CODE!"}',
    "a long message": '"error": {"code": "x", "message": "' + "m" * 2001 + '"}',
    "an endless delay": '"delay_s": 1e9',
}


@pytest.mark.parametrize("field", UNREADABLE.values(), ids=UNREADABLE)
def test_an_outcome_that_cannot_be_read_costs_its_own_item_alone(field: str) -> None:
    outcomes = [
        '{"ordinal": 0, "status": "retry", "delay_s": 5}',
        f'{{"ordinal": 1, "status": "retry", {field}}}',
        f'{{"ordinal": 2, "status": "continued", "state": {{"job": 1}}, {field}}}',
        f'{{"ordinal": 3, "status": "failed", {field}}}',
        '{"ordinal": 4, "status": "continued", "state": {"job": 2}}',
    ]
    found = Report.decode((json.dumps(HEAD)[:-1] + ', "outcomes": [' + ", ".join(outcomes) + "]}").encode()).outcomes()
    again = {ordinal: (outcome.status, outcome.delay_s, outcome.state) for ordinal, outcome in found.items() if outcome}
    assert again == {0: ("retry", 5, None), 1: ("retry", None, None), 4: ("continued", None, {"job": 2})}
    assert found.keys() == {0, 1, 2, 3, 4}
    assert found[1] is not None
    assert found[1].error is not None
    assert found[1].error.code == "outcome_unreadable"


@pytest.mark.parametrize("ended", [None, 1])
def test_feedback_that_cannot_be_read_is_left_out(ended: int | None) -> None:
    head = HEAD | {"feedback": {"mean_wait_ms": -1}} | ({} if ended is None else {"ended": ended})
    outcomes = [{"ordinal": 1, "status": "succeeded"}]
    report = Report.decode(json.dumps(head | {"outcomes": outcomes}, separators=(",", ":")).encode())
    assert (report.feedback, report.outcomes()) == (None, {1: None})


LIES = {
    "an item that runs again": [{"ordinal": 0, "status": "succeeded"}, {"ordinal": 1, "status": "retry"}],
    "too few": [{"ordinal": 0, "status": "succeeded"}],
    "an item twice": [{"ordinal": 0, "status": "succeeded"}, {"ordinal": 0, "status": "succeeded"}],
    "too many": [{"ordinal": n, "status": "succeeded"} for n in range(3)],
}


@pytest.mark.parametrize("outcomes", LIES.values(), ids=LIES)
def test_a_wrong_number_of_ended_items_is_not_believed(outcomes: list[dict[str, object]]) -> None:
    report = Report.decode(json.dumps(HEAD | {"ended": 2, "outcomes": outcomes}, separators=(",", ":")).encode())
    assert report.ended == frozenset()
    expected = {o["ordinal"]: o["status"] == "retry" for o in outcomes}
    assert {ordinal: outcome is not None for ordinal, outcome in report.outcomes().items()} == expected


BROKEN = {
    "no end": b'{"ordinal":0,"status":"succeeded"}',
    "bytes that are no text": b'{"ordinal":0,"status":"succeeded","result":"\xff"}]}',
}


@pytest.mark.parametrize("tail", BROKEN.values(), ids=BROKEN)
def test_a_report_that_the_ledger_refuses_is_refused_whatever_its_head_says(tail: bytes) -> None:
    body = json.dumps(HEAD | {"ended": 1}, separators=(",", ":")).encode()[:-1] + b',"outcomes":[' + tail
    for reader in (Report, LedgerReport):
        with pytest.raises(ValidationError):
            reader.decode(body)


@given(bodies, st.none() | st.integers(0, 6))
def test_dispatcher_and_ledger_agree_on_the_items_that_have_ended(body: bytes, ended: int | None) -> None:
    if ended is not None:
        body = body.replace(b', "outcomes": [', b',"ended":%d,"outcomes":[' % ended)
    try:
        report = Report.decode(body)
    except ValidationError:
        with pytest.raises(ValidationError):
            LedgerReport.decode(body)
        return
    at_ledger: dict[int, bool] = {}
    for outcome in LedgerReport.decode(body).outcomes:
        at_ledger.setdefault(outcome.ordinal, outcome.status not in {"retry", "continued"})
    assert {ordinal: outcome is None for ordinal, outcome in report.outcomes().items()} == at_ledger
