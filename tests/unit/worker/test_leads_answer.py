"""PropertyRadar's answers as they are read."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from batchyard_contracts.workload import Ambiguous, Permanent, RateLimited, Transient, WorkloadError
from services.worker.workloads.leads.answer import answer_of, refusal_of
from services.worker.workloads.leads.model import Leads

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_an_answer_is_read_with_its_cost_as_text_and_its_flags_as_numbers_or_text() -> None:
    answer = answer_of(
        b'{"results":[{"RadarID":"P1","isSameMailing":1,"inForeclosure":"0","Beds":1,"island":"1"}],"resultCount":1,'
        b'"totalResultCount":1342,"totalCost":"1.50","quantityFreeRemaining":9875}'
    )
    assert answer is not None
    assert (answer.found, answer.cost, answer.free_remaining) == (1342, Decimal("1.50"), 9875)
    assert answer.records == [
        {"RadarID": "P1", "isSameMailing": True, "inForeclosure": False, "Beds": 1, "island": "1"}
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b'{"resultCount":3}',
        b'{"results":{},"totalResultCount":1}', b'{"results":[1],"totalResultCount":1}',
        b'{"results":[],"totalResultCount":"many"}', b'{"results":[],"totalResultCount":-1}',
        b'{"results":[],"totalResultCount":1,"totalCost":"free"}',
        b'{"results":[],"totalResultCount":1,"totalCost":"NaN"}',
        b'{"results":[],"totalResultCount":1,"totalCost":"-1"}',
    ],
)  # fmt: skip
def test_a_body_that_is_no_answer_is_an_error(body: bytes) -> None:
    assert answer_of(body) is None


@pytest.mark.parametrize(
    ("status", "buying", "kind", "code", "scope"),
    [
        (400, False, Permanent, "bad_request", "item"),
        (422, True, Permanent, "bad_request", "item"),
        (401, False, Permanent, "http_401", "provider"),
        (403, False, Permanent, "http_403", "provider"),
        (402, True, Permanent, "insufficient_credit", "provider"),
        (404, False, Permanent, "http_404", "item"),
        (429, True, RateLimited, "rate_limited", "provider"),
        (503, False, Transient, "http_503", "item"),
        (503, True, Ambiguous, "needs_review", "item"),
        (504, True, Ambiguous, "needs_review", "item"),
    ],
)
def test_a_refusal_is_the_error_that_it_stands_for(
    status: int, buying: bool, kind: type[WorkloadError], code: str, scope: str
) -> None:
    body = b'{"message":"Unexpected Criterion","eventid":"e-17"}'
    error = refusal_of(status, {}, body, NOW, buying=buying)
    assert (type(error), error.code, error.scope) == (kind, code, scope)
    assert "Unexpected Criterion" in str(error)
    assert "e-17" in str(error)


def test_a_pause_that_is_not_named_is_a_minute() -> None:
    error = refusal_of(429, {}, b"<html>", NOW, buying=False)
    assert isinstance(error, RateLimited)
    assert error.delay_s == 60.0


def test_personal_data_do_not_show_where_a_result_is_shown() -> None:
    leads = Leads(start=0, count=1, found=1, cost=Decimal(0), free_remaining=1, records=[{"Owner": "JANE DOE"}])
    assert "JANE" not in repr(leads)
    assert "JANE" in leads.model_dump_json()
