"""Records leave once each, in whatever page and how often they were found."""

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from batchyard_contracts.v1.manifest import RecordsExport
from batchyard_contracts.v1.values import ItemResult
from services.ingest.exports.records import records_lines, records_table
from services.ingest.queries.result_reader import Page

EXPORT = RecordsExport(records="/records", id="/id")


async def _pages(*results: Any) -> AsyncIterator[Page]:
    for ordinal, result in enumerate(results):
        yield Page([ItemResult(ordinal=ordinal, status="succeeded", result=result)], None)


@pytest.mark.asyncio
async def test_a_record_that_several_pages_list_is_written_once() -> None:
    results = [
        {"found": 3},  # a source's, which lists none
        {"records": [{"id": 1, "a": "x"}, {"id": "1", "a": "y"}]},
        None,
        {"records": [{"id": 1, "a": "again"}, {"a": "without"}, {"a": "without"}, 7]},
    ]
    lines = b"".join([piece async for piece in records_lines(_pages(*results), EXPORT)]).splitlines()
    assert list(map(json.loads, lines)) == [
        {"id": 1, "a": "x"},
        {"id": "1", "a": "y"},
        {"a": "without"},
        {"a": "without"},
    ]


@pytest.mark.asyncio
async def test_a_table_has_a_header_and_cells_that_no_spreadsheet_runs() -> None:
    results = [{"records": []}, {"records": [{"id": 1, "a": "=1+1"}, {"id": 2, "b": True}]}, {"records": [{"id": 3}]}]
    text = b"".join([piece async for piece in records_table(_pages(*results), EXPORT)]).decode()
    assert list(csv.reader(io.StringIO(text))) == [
        ["id", "a", "b"], ["1", "'=1+1", ""], ["2", "", "true"], ["3", "", ""]
    ]  # fmt: skip


@pytest.mark.asyncio
async def test_a_hundred_thousand_records_twice_are_a_hundred_thousand() -> None:
    page = [
        {"records": [{"id": f"P{number}"} for number in range(start, start + 400)]} for start in range(0, 100_000, 400)
    ]
    count = 0
    async for piece in records_lines(_pages(*page, *page), EXPORT):
        count += piece.count(b"\n")
    assert count == 100_000
