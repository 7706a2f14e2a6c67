"""Export formats: complete, safe in a spreadsheet, safe to unpack."""

import asyncio
import csv
import io
import json
import re
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from pydantic import ValidationError

from batchyard_contracts.v1.manifest import TextExport
from batchyard_contracts.v1.queries import ResultsReply
from batchyard_contracts.v1.values import ItemError, ItemResult
from services.ingest.exports import parquet as parquet_export
from services.ingest.exports.columns import MAX_COLUMNS, MAX_DEPTH, paths_of_schema, safe_text
from services.ingest.exports.csv import csv_table
from services.ingest.exports.ndjson import json_array, ndjson_lines
from services.ingest.exports.parquet import ParquetEncoder
from services.ingest.exports.status_columns import STATUS_COLUMNS
from services.ingest.exports.zip import safe_name, texts_zip
from services.ingest.queries.result_page import ResultPage

AT = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
CUE = TextExport(content="/texts", filename="/name", suffix=".cue")

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def item(ordinal: int, result: Any) -> ItemResult:
    return ItemResult(ordinal=ordinal, status="succeeded", result=result)


def page(outcomes: Sequence[ItemResult]) -> ResultPage:
    return ResultPage.decode(ResultsReply(items=list(outcomes)).encode())


def written(*results: bytes, custom_ids: Sequence[str | None] = ()) -> ResultPage:
    """A page with results as they are written by a worker in another language."""
    ids = [*custom_ids, *[None] * len(results)]
    items = [
        b'{"ordinal":%d,"status":"succeeded"%b,"result":%b}'
        % (n, b"" if ids[n] is None else b',"custom_id":' + json.dumps(ids[n]).encode(), result)
        for n, result in enumerate(results)
    ]
    return ResultPage.decode(b'{"found":true,"items":[' + b",".join(items) + b"]}")


async def pages(*parts: Sequence[ItemResult] | ResultPage) -> AsyncIterator[ResultPage]:
    for part in parts:
        yield part if isinstance(part, ResultPage) else page(part)


async def table(schema: dict[str, Any], *parts: Sequence[ItemResult] | ResultPage) -> list[dict[str, str]]:
    """The rows of a CSV export, without the columns that are empty."""
    found = (await joined(csv_table(pages(*parts), schema))).decode()
    return [
        {name: value for name, value in row.items() if value}
        for row in csv.DictReader(io.StringIO(found, newline=""), strict=True)
    ]


async def results_of(schema: dict[str, Any], *parts: Sequence[ItemResult] | ResultPage) -> list[dict[str, str]]:
    """The rows of a CSV export without status columns."""
    return [
        {name: value for name, value in row.items() if name not in STATUS_COLUMNS}
        for row in await table(schema, *parts)
    ]


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


@given(st.text())
def test_no_text_runs_as_a_formula_and_each_can_be_given_back(text: str) -> None:
    cell = safe_text(text)
    if not NUMBER.fullmatch(text):
        assert not cell.lstrip().startswith(SIGNS)
        assert not cell.startswith(("\t", "\r", "\n"))
    assert cell == text or (cell == f"'{text}" and cell != safe_text(text[1:]))
    assert safe_text(cell) == cell if cell == text else cell[0] == "'"


@pytest.mark.parametrize("text", ["=1+1", "'=1+1", "''=1+1", " @SUM(1)", "'\t1", "it's", "'quoted'", "\uff1d1"])
def test_taking_away_the_apostrophe_gives_the_text_back(text: str) -> None:
    cell = safe_text(text)
    assert (cell[1:] if safe_text(cell) != cell else cell) == text


@pytest.mark.parametrize("text", ["-12.50", "+1", "-.5", "-1e5", "0"])
def test_a_text_that_is_a_number_is_no_formula(text: str) -> None:
    assert safe_text(text) == text


@pytest.mark.parametrize("sign", SIGNS)
async def test_no_column_name_runs_as_a_formula(sign: str) -> None:
    name = f' {sign}HYPERLINK("https://evil.example")'
    (row,) = await results_of({}, [item(0, {name: 1, "o": {name: 2}})])
    assert row == {"'" + name: "1", "o." + name: "2"}


async def test_texts_are_made_safe_and_numbers_and_ids_stay_as_they_are() -> None:
    ids = ["-17", "+49 30 123", "@ann", "=1+1", "007"]
    body = b'{"variance":"-12.50","phone":"+1 503 555 0100","formula":"=1+1","number":-12.50}'
    rows = await table({}, written(*[body] * len(ids), custom_ids=ids))
    assert [row["custom_id"] for row in rows] == ids
    assert {(row["variance"], row["phone"], row["formula"], row["number"]) for row in rows} == {
        ("-12.50", "'+1 503 555 0100", "'=1+1", "-12.50")
    }


async def test_the_message_of_an_error_is_made_safe() -> None:
    failed = ItemResult(ordinal=0, status="failed", error=ItemError(code="x", message="=1+1", scope="provider"))
    (row,) = await table({}, [failed])
    assert (row["error_code"], row["error_message"], row["error_scope"]) == ("x", "'=1+1", "provider")


NUMBERS = [b"100000000000000000001", b"-" + b"9" * 400, b"1.10", b"1E+2", b"0.10000000000000000000001", b"1e400", b"-0"]


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_number_is_written_as_it_was(number: bytes) -> None:
    found = written(b'{"a":%b,"l":[%b],"o":{"b":%b}}' % (number, number, number))
    (row,) = await results_of({"properties": {"a": {}, "l": {}, "o": {}}}, found)
    text = number.decode().replace("-0", "0") if number == b"-0" else number.decode()
    assert row == {"a": text, "l": f"[{text}]", "o": f'{{"b":{text}}}'}
    assert number in await joined(ndjson_lines(pages(found)))
    assert number in await joined(json_array(pages(found)))


async def test_columns_without_a_schema_come_from_the_first_page_and_all_else_is_kept() -> None:
    found = await results_of(
        {}, [item(0, {"a": 1, "l": []}), item(1, {"status": "x"})], [item(2, {"z": 1, "a": 2}), item(3, "text")]
    )
    assert found == [
        {"a": "1", "l": "[]"},
        {"result_status": "x"},
        {"a": "2", "more": '{"z":1}'},
        {"more": '"text"'},
    ]


async def test_columns_of_a_schema_keep_fields_that_it_does_not_name() -> None:
    schema = {"properties": {"a": {"type": "integer"}, "o": {"properties": {"b": {}}}, "more": {}}}
    found = await results_of(schema, [item(0, {"a": 1, "x": 2, "o": {"b": 3, "c": [4]}, "more": 5}), item(1, [6])])
    assert found == [
        {"a": "1", "o.b": "3", "result_more": "5", "more": '{"x":2,"o":{"c":[4]}}'},
        {"more": "[6]"},
    ]


async def test_a_result_that_is_no_object_has_one_column() -> None:
    assert await results_of({"type": "integer"}, [item(0, 7), item(1, None)]) == [{"result": "7"}, {}]


async def test_a_null_result_of_the_first_page_hides_none_of_the_second() -> None:
    assert await results_of({}, [item(0, None)], [item(1, {"a": 1})]) == [{}, {"more": '{"a":1}'}]


async def test_nested_fields_have_columns_and_lists_are_json() -> None:
    schema = {
        "properties": {
            "n": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "l": {"type": "array"},
            "o": {"anyOf": [{"$ref": "#/$defs/Cost"}, {"type": "null"}]},
            "either": {"anyOf": [{"$ref": "#/$defs/Cost"}, {"type": "integer"}]},
            "open": {"type": "object"},
        },
        "$defs": {"Cost": {"properties": {"low": {"type": "number"}, "of": {"$ref": "#/$defs/Cost"}}}},
    }
    found = await results_of(
        schema,
        [
            item(0, {"n": 1, "l": [1, "a"], "o": {"low": 1.5, "of": {"low": 2}}, "either": 3, "open": {"k": None}}),
            item(1, {"n": None, "l": [], "o": None, "either": {"low": 1}, "open": {}}),
        ],
    )
    assert found == [
        {"n": "1", "l": '[1,"a"]', "o.low": "1.5", "o.of": '{"low":2}', "either": "3", "open": '{"k":null}'},
        {"l": "[]", "either": '{"low":1}', "open": "{}"},
    ]


@pytest.mark.parametrize("workload", entry_points(group="batchyard.workloads"), ids=lambda each: each.name)
def test_each_field_of_a_built_in_workload_has_a_column(workload: EntryPoint) -> None:
    schema = workload.load().manifest.result_schema
    paths = paths_of_schema(schema)
    assert {path[0] for path in paths} == set(schema["properties"])
    expected = {"predictions": ("final_cost", "lowest"), "http": ("json",), "tracklists": ("tracks",)}
    assert expected.get(workload.name, paths[0]) in paths


async def test_two_fields_with_one_name_have_two_columns() -> None:
    assert await results_of({}, [item(0, {"a": {"b": 1}, "a.b": 2})]) == [{"a.b": "1", "result_a.b": "2"}]


async def test_depth_and_number_of_columns_are_bounded_and_nothing_is_lost() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH + 2):
        deep = {"k": deep}
    wide = {f"f{n}": n for n in range(MAX_COLUMNS + 2)}
    assert await results_of({}, [item(0, deep)]) == [{".".join("k" * MAX_DEPTH): '{"k":{"k":1}}'}]
    (row,) = await results_of({}, [item(0, wide)])
    assert len(row) == MAX_COLUMNS + 1
    assert row["more"] == json.dumps({f"f{n}": n for n in (MAX_COLUMNS, MAX_COLUMNS + 1)}, separators=(",", ":"))


async def test_a_recursive_schema_has_few_columns() -> None:
    schema = {
        "properties": {"next": {"$ref": "#/$defs/N"}},
        "$defs": {"N": {"properties": {"next": {"$ref": "#/$defs/N"}}}},
    }
    assert await results_of(schema, [item(0, {"next": {"next": {"next": 1}}})]) == [{"next.next": '{"next":1}'}]


@pytest.mark.parametrize("depth", [190, 900])
async def test_a_deep_result_is_exported_in_every_format(depth: int) -> None:
    found = written(b'{"a":' + b"[" * depth + b"]" * depth + b"}")
    assert (await results_of({}, found))[0]["a"] == "[" * depth + "]" * depth
    assert b"[" * depth in await joined(json_array(pages(found)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(JSON, min_size=1, max_size=4))
def test_each_value_of_a_result_is_in_a_cell(results: list[Any]) -> None:
    """Numbers and texts of results that no schema describes, in columns, in lists or in `more`."""
    rows = asyncio.run(table({}, [item(n, result) for n, result in enumerate(results)]))
    for row, result in zip(rows, results, strict=True):
        cells = "\n".join(row.values())
        for number in _integers(result):
            assert str(number) in cells


def _integers(value: Any) -> list[int]:
    if isinstance(value, dict):
        return [number for part in value.values() for number in _integers(part)]
    if isinstance(value, list):
        return [number for part in value for number in _integers(part)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) else []


async def test_json_over_several_lines_becomes_one_line() -> None:
    found = written(b'{"a":\r\n  [1,\n 2]}')
    lines = (await joined(ndjson_lines(pages(found)))).splitlines()
    assert [json.loads(line)["result"] for line in lines] == [{"a": [1, 2]}]


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
            yield page([item(n, {"name": "x", "texts": "y" * 1000})])

    pieces = texts_zip(slowly(), CUE, AT)
    await anext(pieces)
    assert requested == [0]
    await anext(pieces)
    assert requested == [0, 1]


async def test_other_requests_go_on_while_a_long_text_is_compressed() -> None:
    long = " ".join(map(str, range(700_000)))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    request = asyncio.create_task(other())
    found = await joined(texts_zip(pages([item(0, {"name": "x", "texts": long})]), CUE, AT))
    request.cancel()
    assert turns > 100, "one for each text, if it was compressed on the event loop"
    with zipfile.ZipFile(io.BytesIO(found)) as archive:
        assert archive.read(archive.namelist()[0]).decode() == long


@pytest.mark.parametrize(
    "body", [b"{", b'{"items":[{"ordinal":0,"result":"\\ud800 "}]}', b'{"items":7}', b"[" * 100_000]
)
def test_a_reply_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(ValidationError):
        ResultPage.decode(body)


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


TYPED = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "x": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "s": {"type": ["string", "null"]},
        "b": {"$ref": "#/$defs/Flag"},
        "any": {},
    },
    "$defs": {"Flag": {"type": "boolean"}},
}
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.text()
)


def parquet_rows(schema: dict[str, Any], *parts: Sequence[ItemResult]) -> tuple[list[dict[str, Any]], int]:
    """The rows of a Parquet export, and the number of its row groups."""
    encoder = ParquetEncoder(schema)
    content = b"".join([*(encoder.add(page(part)) for part in parts), encoder.finish()])
    file = parquet.ParquetFile(io.BytesIO(content))
    return file.read().to_pylist(), file.num_row_groups


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("n", "x", "s", "b", "any", "z"), SCALARS)))
def test_each_value_is_in_its_column_of_parquet_or_in_more(result: dict[str, Any]) -> None:
    ((row,), _) = parquet_rows(TYPED, [item(0, result)])
    more = json.loads(row["more"] or "{}")
    for name, value in result.items():
        if name in more:
            assert more[name] == value
            assert row.get(name) is None
        elif name == "any":
            assert value is None if row["any"] is None else json.loads(row["any"]) == value
        else:
            assert row.get(name) == value
            assert value is None or isinstance(row[name], bool) == isinstance(value, bool)


def test_row_groups_of_parquet_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_export, "MAX_GROUP_ROWS", 20)
    parts = [[item(n, {"n": n}) for n in range(first, first + 10)] for first in range(0, 50, 10)]
    rows, groups = parquet_rows(TYPED, *parts)
    assert ([row["n"] for row in rows], groups) == (list(range(50)), 3)


def test_parquet_without_fields_has_the_result_as_json() -> None:
    rows, _ = parquet_rows({}, [item(0, {"a": 1}), item(1, None)])
    assert [row["result"] for row in rows] == ['{"a":1}', None]
    assert parquet_rows(TYPED) == ([], 0)
