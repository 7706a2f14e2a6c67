"""Exports of records: each record is written once, on however many pages it occurs."""

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from batchyard_contracts.v1.manifest import RecordsExport
from batchyard_contracts.v1.values import ItemResult
from services.ingest.exports.records import records_csv, records_ndjson
from services.ingest.queries.result_reader import ResultPage

EXPORT = RecordsExport(records="/records", id="/id")


async def _pages(*results: Any) -> AsyncIterator[ResultPage]:
    for ordinal, result in enumerate(results):
        yield ResultPage([ItemResult(ordinal=ordinal, status="succeeded", result=result)], None)


@pytest.mark.asyncio
async def test_a_record_that_several_pages_list_is_written_once() -> None:
    results = [
        {"found": 3},  # the result of a source, without records
        {"records": [{"id": 1, "a": "x"}, {"id": "1", "a": "y"}]},
        None,
        {"records": [{"id": 1, "a": "again"}, {"a": "without"}, {"a": "without"}, 7]},
    ]
    lines = b"".join([piece async for piece in records_ndjson(_pages(*results), EXPORT)]).splitlines()
    assert list(map(json.loads, lines)) == [
        {"id": 1, "a": "x"},
        {"id": "1", "a": "y"},
        {"a": "without"},
        {"a": "without"},
    ]


@pytest.mark.asyncio
async def test_csv_has_a_header_and_no_cell_that_runs_as_a_formula() -> None:
    results = [{"records": []}, {"records": [{"id": 1, "a": "=1+1"}, {"id": 2, "b": True}]}, {"records": [{"id": 3}]}]
    text = b"".join([piece async for piece in records_csv(_pages(*results), EXPORT)]).decode()
    assert list(csv.reader(io.StringIO(text))) == [
        ["id", "a", "b"], ["1", "'=1+1", ""], ["2", "", "true"], ["3", "", ""]
    ]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("records", [records_ndjson, records_csv])
async def test_integers_of_any_size_are_written(records: Any) -> None:
    number = 2**64 + 1
    results = [{"records": [{"id": number, "a": -number}, {"id": [number], "a": 1}, {"id": number, "a": "again"}]}]
    text = b"".join([piece async for piece in records(_pages(*results), EXPORT)]).decode()
    assert text.count("\n") == (3 if records is records_csv else 2)
    assert text.count(str(-number)) == 1
    assert "again" not in text


@pytest.mark.asyncio
async def test_no_name_of_a_field_runs_as_a_formula() -> None:
    results = [{"records": [{"=1+1": 1, "@SUM(1+1)|cmd": 2}]}]
    text = b"".join([piece async for piece in records_csv(_pages(*results), EXPORT)]).decode()
    assert text.splitlines()[0] == "'=1+1,'@SUM(1+1)|cmd"


@pytest.mark.asyncio
async def test_a_hundred_thousand_records_that_occur_twice_are_written_once() -> None:
    page = [
        {"records": [{"id": f"P{number}"} for number in range(start, start + 400)]} for start in range(0, 100_000, 400)
    ]
    count = 0
    async for piece in records_ndjson(_pages(*page, *page), EXPORT):
        count += piece.count(b"\n")
    assert count == 100_000
