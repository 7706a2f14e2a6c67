"""Export formats: complete, safe in a spreadsheet, safe to unpack."""

import asyncio
import csv
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.manifest import TextExport
from batchyard_contracts.v1.values import ItemResult
from services.ingest.exports.csv import csv_table, safe_cell
from services.ingest.exports.ndjson import json_array, ndjson_lines
from services.ingest.exports.zip import safe_name, texts_zip
from services.ingest.queries.result_reader import ResultPage

AT = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
CUE = TextExport(content="/texts", filename="/name", suffix=".cue")

SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def item(ordinal: int, result: Any) -> ItemResult:
    return ItemResult(ordinal=ordinal, status="succeeded", result=result)


async def pages(*parts: list[ItemResult]) -> AsyncIterator[ResultPage]:
    for part in parts:
        yield ResultPage(part, None)


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


@given(st.text())
def test_no_text_cell_runs_as_a_formula(text: str) -> None:
    cell = safe_cell(text)
    assert not cell.lstrip().startswith(SIGNS)
    assert not cell.startswith(("\t", "\r", "\n"))
    assert cell.removeprefix("'") == text or cell == text


@pytest.mark.parametrize("sign", SIGNS)
async def test_no_column_name_runs_as_a_formula(sign: str) -> None:
    name = f' {sign}HYPERLINK("https://evil.example")'
    found = await joined(csv_table(pages([item(0, {name: 1})]), {}))
    (header, _) = csv.reader(io.StringIO(found.decode()))
    assert header[-1] == "'" + name


def test_numbers_are_not_quoted() -> None:
    assert (safe_cell(-3), safe_cell(None), safe_cell(True), safe_cell([1])) == (-3, "", "true", "")


async def test_columns_without_a_schema_come_from_the_first_page() -> None:
    found = await joined(
        csv_table(pages([item(0, {"a": 1, "l": []}), item(1, {"status": "x"})], [item(2, {"z": 1})]), {})
    )
    rows = list(csv.reader(io.StringIO(found.decode())))
    assert rows[0][-2:] == ["a", "result_status"]
    assert [row[-2:] for row in rows[1:]] == [["1", ""], ["", "x"], ["", ""]]


async def test_a_result_that_is_no_object_has_one_column() -> None:
    found = await joined(csv_table(pages([item(0, 7)]), {"type": "integer"}))
    assert [row[-1] for row in csv.reader(io.StringIO(found.decode()))] == ["result", "7"]


async def test_nested_fields_have_no_column() -> None:
    schema = {
        "properties": {
            "n": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "l": {"type": "array"},
            "o": {"anyOf": [{"$ref": "#/$defs/o"}, {"type": "null"}]},
        }
    }
    found = await joined(csv_table(pages([]), schema))
    assert found.decode().strip().split(",")[-1] == "n"
    assert "cached,n" in found.decode()


async def test_no_outcomes_are_an_empty_array() -> None:
    assert await joined(json_array(pages([], []))) == b"[]"


@given(st.text(max_size=200))
def test_file_names_are_safe_on_any_system(name: str) -> None:
    found = safe_name(name)
    assert len(found) <= 100
    assert not set(found) & set('/\\:*?"<>|\x00\n')
    assert found == found.strip(" .")
    assert ".." not in found or "/" not in found


async def test_an_archive_has_one_file_per_text() -> None:
    results = [
        item(0, {"name": "../../etc/passwd", "texts": "one"}),
        item(1, {"name": "same", "texts": "two"}),
        item(2, {"name": "same", "texts": ["three", 4, "five"]}),
        item(3, {"name": ["a.cue", "b"], "texts": ["six", "seven"]}),
        item(4, {"texts": "eight ä"}),
        item(5, {"name": "nothing"}),
        item(6, None),
    ]
    found = await joined(texts_zip(pages(results[:3], results[3:]), CUE, AT))
    with zipfile.ZipFile(io.BytesIO(found)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name).decode() for name in archive.namelist()} == {
            "000000 etc-passwd.cue": "one",
            "000001 same.cue": "two",
            "000002-01 same.cue": "three",
            "000002-03 same.cue": "five",
            "000003-01 a.cue": "six",
            "000003-02 b.cue": "seven",
            "000004.cue": "eight ä",
        }
        assert archive.infolist()[0].date_time == (2026, 1, 2, 3, 4, 6)


async def test_an_archive_is_streamed_page_by_page() -> None:
    """Each page is sent before the next one is requested."""
    requested: list[int] = []

    async def slowly() -> AsyncIterator[ResultPage]:
        for n in range(3):
            requested.append(n)
            yield ResultPage([item(n, {"name": "x", "texts": "y" * 1000})], n)

    pieces = texts_zip(slowly(), CUE, AT)
    await anext(pieces)
    assert requested == [0]
    await anext(pieces)
    assert requested == [0, 1]


@pytest.mark.parametrize("text", ["\ud800", "ok"])
async def test_a_text_with_lone_surrogates_is_still_archived(text: str) -> None:
    found = await joined(texts_zip(pages([item(0, {"name": "x", "texts": text})]), CUE, AT))
    with zipfile.ZipFile(io.BytesIO(found)) as archive:
        assert len(archive.namelist()) == 1


@pytest.mark.parametrize(
    "encode",
    [lambda found: csv_table(found, {}), ndjson_lines, json_array, lambda found: texts_zip(found, CUE, AT)],
    ids=["csv", "ndjson", "json", "zip"],
)
async def test_other_requests_get_turns_while_a_page_is_encoded(
    encode: Callable[[AsyncIterator[ResultPage]], AsyncIterator[bytes]],
) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await joined(encode(pages([item(n, {"texts": "x" * 20_000}) for n in range(200)])))
    task.cancel()
    assert turns > 1
