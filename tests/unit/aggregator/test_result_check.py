"""Every result of a worker that does not check its results is checked, and one that does not fit is kept."""

import json
from typing import Any, cast

import orjson
import pytest

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import ItemOutcome, WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest
from services.aggregator.domain.outcome_rows import COLUMNS, outcome_rows
from services.aggregator.domain.report import Report
from services.aggregator.domain.result_schema import ResultSchemas
from services.aggregator.handlers.result_check import ResultCheck
from services.aggregator.persistence.schema_store import SchemaStore, StoredSchema
from tests.support.ledger_messages import START, batch, processed, settled

WORDS = {"type": "object", "required": ["words"], "properties": {"words": {"type": "integer", "minimum": 0}}}
LETTERS = {"type": "object", "required": ["letters"]}


def report(*results: Any, **fields: Any) -> Report:
    """Return a report of successes with these results."""
    outcomes = {n: ItemOutcome(ordinal=n, status="succeeded", result=result) for n, result in enumerate(results)}
    return Report.decode(processed(outcomes, **fields).encode())


def statuses(checked: Report) -> list[str]:
    return [outcome.status for outcome in checked.outcomes]


def test_a_result_that_does_not_fit_fails_its_item_and_is_kept() -> None:
    checked = ResultSchemas([WORDS]).check(report({"words": 2}, {"words": -1}, {"words": 2**70}, None, "seven"))
    assert statuses(checked) == ["succeeded", "failed", "succeeded", "failed", "failed"]
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in outcome_rows(checked, batch(total=None))]
    assert {row["error_code"] for row in rows if row["status"] == "failed"} == {"invalid_result"}
    assert rows[1]["error_message"] == (
        "The result does not fit the workload's schema: -1 is less than the minimum of 0 at /words. It is kept."
    )
    kept = [cast("bytes | None", row["result"]) for row in rows]
    assert [one and json.loads(one) for one in kept[1:]] == [{"words": -1}, {"words": 2**70}, None, "seven"]


def test_an_outcome_without_a_wrong_result_stays_as_it_is() -> None:
    other = Report.decode(processed({0: "failed", 1: "retry", 2: "cancelled"}).encode())
    schemas = ResultSchemas([WORDS])
    assert schemas.check(other) is other
    good = report({"words": 1})
    assert schemas.check(good) is good


def test_a_result_may_be_that_of_any_present_version() -> None:
    assert statuses(ResultSchemas([WORDS, LETTERS]).check(report({"words": 1}, {"letters": 1}, {"lines": 1}))) == [
        "succeeded",
        "succeeded",
        "failed",
    ]


def test_the_result_of_a_source_is_none_of_the_workload() -> None:
    assert statuses(ResultSchemas([WORDS], has_source=True).check(report({"found": 3}, {"found": 3}))) == [
        "succeeded",
        "failed",
    ]


class Table:
    """The stored schemas; counts the reads."""

    def __init__(self, *stored: StoredSchema) -> None:
        self.stored, self.reads = list(stored), 0

    async def load(self) -> list[StoredSchema]:
        self.reads += 1
        return self.stored

    async def save(self, manifests: list[Manifest]) -> None:
        self.stored = [schema(m.result_schema, checked=bool(m.checks_results), workload=m.name) for m in manifests]


def schema(of: dict[str, Any], *, checked: bool = False, workload: str = "noop") -> StoredSchema:
    return StoredSchema(workload, orjson.dumps(of).decode(), checked, has_source=False)


async def check(table: Table, *reports: Any) -> list[Any]:
    return await ResultCheck(cast("SchemaStore", table)).check(reports)


BAD = report({"words": -1})


@pytest.mark.parametrize(
    ("stored", "status"),
    [
        ([schema(WORDS)], "failed"),
        ([schema(WORDS), schema(WORDS, checked=True)], "failed"),
        ([schema(WORDS, checked=True)], "succeeded"),
        ([schema(WORDS), schema({})], "succeeded"),
        ([schema(WORDS, workload="other")], "succeeded"),
        ([schema({"$ref": "http://127.0.0.1:1/schema"})], "succeeded"),
        ([schema({"type": "number?"})], "succeeded"),
    ],
    ids=["foreign", "both", "python", "anything", "another workload", "a schema elsewhere", "no schema"],
)
async def test_results_are_checked_by_the_ledger_where_no_worker_does(stored: list[StoredSchema], status: str) -> None:
    other = settled("cancelled", [5])
    assert await check(Table(*stored), other, BAD) == [other, *(await check(Table(*stored), BAD))]
    (checked,) = await check(Table(*stored), BAD)
    assert statuses(checked) == [status]


async def test_the_table_is_read_now_and_then_and_after_an_announcement() -> None:
    now = 0.0
    table = Table(schema({}))
    results = ResultCheck(cast("SchemaStore", table), lambda: now)
    for _ in range(3):
        assert statuses(cast("Report", (await results.check([BAD]))[0])) == ["succeeded"]
    assert table.reads == 1
    manifest = Manifest(name="noop", version="1", item_schema={}, result_schema=cast("Any", WORDS))
    announced = WorkerAnnounced(worker_id="x", manifests=[manifest], started_at=START)
    await results.on_worker_announced(announced, Envelope("", ""))
    assert statuses(cast("Report", (await results.check([BAD]))[0])) == ["failed"]
    now = 4.9
    await results.check([BAD])
    assert table.reads == 2
    now = 5.1
    await results.check([BAD])
    assert table.reads == 3
