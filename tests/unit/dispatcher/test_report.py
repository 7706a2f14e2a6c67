"""The dispatcher reads reports as the contract does."""

import json

import pytest
from hypothesis import given
from pydantic import ValidationError

from batchyard_contracts.v1.flow import ChunkProcessed
from services.dispatcher.domain.report import Report
from tests.support.report_bodies import HEAD, ODD, REFUSED, bodies, body


def agree(body: bytes) -> None:
    try:
        contract = ChunkProcessed.decode(body)
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
    assert (report.parsed, report.count) == (None, 3)
    assert report.outcomes() == {0: None, 1: None, 2: None}


def test_ended_count_is_used_only_before_the_outcomes() -> None:
    report = Report.decode(body({"ordinal": 0, "status": "retry"})[:-1] + b',"ended":1}')
    assert report.outcomes()[0] is not None
