"""Exports of records: each record is written once, on however many pages it occurs."""

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from batchyard_contracts.v1.manifest import RecordsExport
from batchyard_contracts.v1.queries import ResultsReply
from batchyard_contracts.v1.values import ItemResult
from services.ingest.exports.records import records_csv, records_ndjson
from services.ingest.queries.result_page import ResultPage

EXPORT = RecordsExport(records="/records", id="/id")


async def _pages(*results: Any) -> AsyncIterator[ResultPage]:
    for ordinal, result in enumerate(results):
        reply = ResultsReply(items=[ItemResult(ordinal=ordinal, status="succeeded", result=result)])
        yield ResultPage.decode(reply.encode())


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
        ["id", "a", "b", "more"], ["1", "'=1+1", "", ""], ["2", "", "true", ""], ["3", "", "", ""]
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
    assert text.splitlines()[0] == "'=1+1,'@SUM(1+1)|cmd,more"


@pytest.mark.asyncio
async def test_a_hundred_thousand_records_that_occur_twice_are_written_once() -> None:
    page = [
        {"records": [{"id": f"P{number}"} for number in range(start, start + 400)]} for start in range(0, 100_000, 400)
    ]
    count = 0
    async for piece in records_ndjson(_pages(*page, *page), EXPORT):
        count += piece.count(b"\n")
    assert count == 100_000


@pytest.mark.asyncio
async def test_nested_fields_have_columns_and_later_fields_are_kept() -> None:
    results = [
        {"records": [{"id": 1, "price": {"low": 1.5, "all": [1, 2]}}]},
        {"records": [{"id": 2, "price": {"low": 2, "high": 3}, "new": "x"}]},
    ]
    text = b"".join([piece async for piece in records_csv(_pages(*results), EXPORT)]).decode()
    assert list(csv.DictReader(io.StringIO(text))) == [
        {"id": "1", "price.low": "1.5", "price.all": "[1,2]", "more": ""},
        {"id": "2", "price.low": "2", "price.all": "", "more": '{"price":{"high":3},"new":"x"}'},
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize("records", [records_ndjson, records_csv])
async def test_numbers_are_written_as_they_were(records: Any) -> None:
    body = (
        b'{"items":[{"ordinal":0,"status":"succeeded","result":{"records":[{"id":1.10,"a":0.10000000000000000001}]}}]}'
    )

    async def page() -> AsyncIterator[ResultPage]:
        yield ResultPage.decode(body)

    text = b"".join([piece async for piece in records(page(), EXPORT)]).decode()
    assert "1.10" in text
    assert "0.10000000000000000001" in text
