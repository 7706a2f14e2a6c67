"""A report carries each outcome in full, in as few bytes as the contract allows."""

import json
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.v1.flow import ChunkProcessed, ItemOutcome
from batchyard_contracts.v1.values import ItemError
from services.worker.domain.outcome import Outcome, Success
from services.worker.execution.report_writer import report_bodies

HEAD = ChunkProcessed(
    chunk_id=UUID(int=1),
    fence=1,
    batch_id=UUID(int=2),
    owner="a",
    workload="w",
    partition="",
    round=1,
    attempt=1,
    worker_id="w1",
    busy_ms=8.0,
    outcomes=[],
)
OUTCOMES: list[Outcome] = [
    Success(0, None, b'{"n":1}', 0),
    Success(1, 'a "quoted" \u00fc', b"[1,null]", 7),
    ItemOutcome(ordinal=2, status="succeeded", result={"n": None}, cached=True),
    ItemOutcome(ordinal=3, status="failed", error=ItemError(code="gone")),
]
AGAIN = ItemOutcome(ordinal=4, status="retry", delay_s=0.0, error=ItemError(code="busy", scope="provider"))


def only(outcomes: list[Outcome]) -> ChunkProcessed:
    (body,) = report_bodies(HEAD, outcomes)
    assert body.index(b'"outcomes"') > body.find(b'"ended"')
    return ChunkProcessed.decode(body)


@pytest.mark.parametrize("outcome", [*OUTCOMES, AGAIN])
def test_each_outcome_is_told_in_full(outcome: Outcome) -> None:
    (reported,) = only([outcome]).outcomes
    for name in ("ordinal", "status", "custom_id", "result", "error", "delay_s", "state", "elapsed_ms", "cached"):
        expected: Any = getattr(outcome, name)
        assert getattr(reported, name) == expected, name


def test_a_plain_success_takes_few_bytes() -> None:
    (body,) = report_bodies(HEAD, OUTCOMES[:1])
    assert json.loads(body)["outcomes"] == [{"ordinal": 0, "status": "succeeded", "result": {"n": 1}}]


def test_the_number_of_ended_items_precedes_the_outcomes() -> None:
    assert only(OUTCOMES).ended == 4
    assert only([*OUTCOMES, AGAIN]).ended is None
    assert only([]).ended == 0


def test_large_results_travel_in_parts_that_each_say_what_they_hold() -> None:
    large: list[Outcome] = [Success(n, None, b'"%s"' % (b"x" * 600_000), 0) for n in range(4)]
    parts = [ChunkProcessed.decode(body) for body in report_bodies(HEAD, [*large, AGAIN])]
    assert [o.ordinal for part in parts for o in part.outcomes] == [0, 1, 2, 3, 4]
    assert [part.final for part in parts] == [False] * (len(parts) - 1) + [True]
    assert [part.ended for part in parts][-1] is None
    assert all(part.ended == len(part.outcomes) for part in parts[:-1])
    assert sum(part.busy_ms for part in parts) == pytest.approx(8.0)
