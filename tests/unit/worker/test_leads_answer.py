"""PropertyRadar's answers as they are read."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from batchyard_contracts.workload import Ambiguous, Permanent, RateLimited, Transient, WorkloadError
from services.worker.workloads.leads.answer import LeadAnswer, answer_of, refusal_of, unusable
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
        b"", b"<html>", b'"text"', b"7", b"[1]", b'{"resultCount":3}', b'{"error":"no"}',
        b'{"results":{},"totalResultCount":1}', b'{"results":[1],"totalResultCount":1}', b'{"data":{"results":3}}',
    ],
)  # fmt: skip
def test_a_body_without_records_is_no_answer(body: bytes) -> None:
    assert answer_of(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"results":[{"RadarID":"P1"}]}',
        b'{"results":[{"RadarID":"P1"}],"totalResultCount":"many","totalCost":"free","quantityFreeRemaining":null}',
        b'{"results":[{"RadarID":"P1"}],"totalResultCount":-1,"totalCost":"NaN","quantityFreeRemaining":true}',
        b'{"results":[{"RadarID":"P1"}],"totalResultCount":[1],"totalCost":"-1","quantityFreeRemaining":1e400}',
        b'{"success":true,"data":[{"RadarID":"P1"}]}',
        b'{"data":{"results":[{"RadarID":"P1"}]}}',
        b'{"properties":[{"RadarID":"P1"}]}',
        b'[{"RadarID":"P1"}]',
    ],
)
def test_records_are_read_whatever_is_around_them_and_unknown_numbers_are_none(body: bytes) -> None:
    assert answer_of(body) == LeadAnswer([{"RadarID": "P1"}], None, None, None)


def test_numbers_are_read_as_people_write_them() -> None:
    answer = answer_of(
        b'{"results":[],"totalResultCount":"12,345","totalCost":"$1,099.50","quantityFreeRemaining":7.0}'
    )
    assert answer == LeadAnswer([], 12_345, Decimal("1099.50"), 7)


def test_a_purchase_without_records_is_for_a_person_to_look_at() -> None:
    assert isinstance(unusable(b'{"error":"no"}', buying=True), Ambiguous)
    assert isinstance(unusable(b'{"error":"no"}', buying=False), Transient)


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
