"""Ingest counts the items of a batch by destination and asks the dispatcher when it would end; nothing is stored."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from batchyard_contracts.v1.queries import EstimateQuery, EstimateReply
from batchyard_contracts.v1.values import Forecast
from devstack import Servers
from services.ingest.domain import item_validator
from services.ingest.queries import estimate_service as module
from tests.support.running_ingest import IngestHarness, running_ingest

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
BODY = {"workload": "squares", "items": [{"payload": {"n": 1}}, {"payload": {"n": 2}}]}


def answering(harness: IngestHarness) -> list[EstimateQuery]:
    asked: list[EstimateQuery] = []

    def answer(query: EstimateQuery) -> EstimateReply:
        asked.append(query)
        return EstimateReply(items=sum(one.items for one in query.partitions), forecast=Forecast(p50=AT, at=AT))

    harness.answers[EstimateQuery] = answer
    return asked


async def post(harness: IngestHarness, data: str, kind: str, **params: str) -> tuple[int, Any]:
    url, headers = f"{harness.url}/estimates", {"Content-Type": kind}
    async with harness.http.post(url, data=data.encode(), params=params, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def test_items_and_terms_are_passed_on_and_nothing_is_stored(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        asked = answering(harness)
        terms = {"deadline": "2100-01-01T00:00:00Z", "rate": {"per_second": 5, "burst": 1}, "priority": "low"}
        status, reply = await harness.post("/estimates", json=BODY | terms)
        assert (status, reply["items"], reply["forecast"]["p50"]) == (200, 2, "2026-11-30T06:00:00Z")
        (query,) = asked
        assert (query.owner, query.workload, query.priority) == ("default", "squares", "low")
        assert query.terms.rate is not None
        assert sum(one.items for one in query.partitions) == 2
        assert await harness.rows("SELECT * FROM batches") == []


@pytest.mark.parametrize(
    ("kind", "data"),
    [("application/x-ndjson", '{"n": 1}\n{"n": 2}\n{"n": 3}\n'), ("text/csv", "n\n1\n2\n3\n")],
)
async def test_a_file_is_counted_as_it_arrives(clean: Servers, kind: str, data: str) -> None:
    async with running_ingest(clean) as harness:
        asked = answering(harness)
        status, reply = await post(harness, data, kind, workload="squares", options='{"weight": 5}')
        assert (status, reply["items"]) == (200, 3)
        assert asked[0].terms.weight == 5


@pytest.mark.parametrize(
    ("data", "params", "code"),
    [
        ('{"n": 1}\n{"m": 2}\n', {"workload": "squares"}, "invalid_item"),
        ("", {"workload": "squares"}, "no_items"),
        ('{"n": 1}\n', {}, "invalid_request"),
        ('{"n": 1}\n', {"workload": "unknown"}, "unknown_workload"),
        ('{"n": 1}\n', {"workload": "squares", "options": '{"deadline": "2001-01-01T00:00:00Z"}'}, "deadline_passed"),
        ("{", {"workload": "squares"}, "malformed_json"),
    ],
)
async def test_a_file_that_could_not_be_submitted_is_refused(
    clean: Servers, data: str, params: dict[str, str], code: str
) -> None:
    async with running_ingest(clean) as harness:
        asked = answering(harness)
        status, problem = await post(harness, data, "application/x-ndjson", **params)
        assert 400 <= status < 500
        assert problem["code"] == code
        assert asked == []


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("application/json", json.dumps(BODY)),
        ("application/x-ndjson", '{"n": 1}\n{"n": 2}\n'),
        ("text/csv", "n\n1\n2\n"),
    ],
)
async def test_more_items_than_a_batch_may_have_are_refused(
    clean: Servers, monkeypatch: pytest.MonkeyPatch, kind: str, data: str
) -> None:
    monkeypatch.setattr(item_validator, "MAX_ITEMS_PER_BATCH", 1)
    async with running_ingest(clean) as harness:
        asked = answering(harness)
        status, problem = await post(harness, data, kind, workload="squares")
        assert (status, problem["code"]) == (422, "too_many_items")
        assert asked == []


async def test_a_source_and_a_wrong_item_are_refused(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        asked = answering(harness)
        for body in ({"workload": "squares", "source": {"a": 1}}, BODY | {"items": [{"payload": {}}]}):
            status, problem = await harness.post("/estimates", json=body)
            assert status == 422, problem
        assert asked == []


async def test_destinations_beyond_those_that_are_named_are_counted_together(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ESTIMATED_PARTITIONS", 0)
    async with running_ingest(clean) as harness:
        asked = answering(harness)
        status, _ = await harness.post("/estimates", json=BODY)
        assert status == 200
        assert (asked[0].partitions, asked[0].other_items) == ([], 2)
