"""Every way of submission reads the same items with their ids, and numbers of any size stay exact."""

import csv
import io
import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.commands import BatchAppend, BatchSubmit
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.work import ChunkHead
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.item import ValidatedItem, validate_item, validate_items
from services.ingest.domain.item_validator import ItemValidator
from services.ingest.domain.readers.csv_rows import CsvReader
from services.ingest.domain.readers.ndjson import NdjsonReader
from services.ingest.domain.readers.rows import Reader, Row
from services.ingest.domain.rejection import Rejection
from services.ingest.http.body import decode
from services.worker.caching.result_cache import fingerprint
from services.worker.consuming.chunk_decoder import ChunkDecoder

FIELDS = {"id": {"type": "integer"}, "note": {"type": "string"}}
OPEN: dict[str, Any] = {"type": "object"}
NAMED: dict[str, Any] = {"type": "object", "properties": FIELDS, "required": ["id"]}
OWN_ID: dict[str, Any] = {"type": "object", "properties": FIELDS | {"custom_id": {"type": "string"}}}


def read(reader: Reader, body: bytes | str) -> list[Row | Rejection]:
    return [*reader.feed(body if isinstance(body, bytes) else body.encode()), *reader.finish()]


def line(value: str | bytes, schema: dict[str, Any] = NAMED) -> Row:
    (row,) = read(NdjsonReader(schema), value)
    assert isinstance(row, Row), row
    return row


def rejection(value: str | bytes, schema: dict[str, Any] = NAMED) -> Rejection:
    found = read(NdjsonReader(schema), value)[-1]
    assert isinstance(found, Rejection)
    return found


def validator(schema: dict[str, Any] = NAMED) -> ItemValidator:
    return ItemValidator(Manifest(name="w", version="1", item_schema=schema, result_schema={}, dedup="/id"))


@pytest.mark.parametrize("schema", [OPEN, NAMED])
@pytest.mark.parametrize(
    ("text", "custom_id"),
    [
        ('{"id": 2}', None),
        ('{"payload": {"id": 2}}', None),
        ('{"payload": {"id": 2}, "custom_id": null}', None),
        ('{"payload": {"id": 2}, "custom_id": "a"}', "a"),
        ('{"custom_id": "a", "payload": {"id": 2}}', "a"),
        ('{"custom_id": "a", "id": 2}', "a"),
        ('{"id": 2, "custom_id": null}', None),
    ],
)
def test_an_item_is_its_payload_or_names_payload_and_id(
    text: str, custom_id: str | None, schema: dict[str, Any]
) -> None:
    row = line(text, schema)
    assert (row.custom_id, row.payload, json.loads(row.raw)) == (custom_id, {"id": 2}, {"id": 2})


def test_a_field_custom_id_of_the_workload_is_no_id_of_the_item() -> None:
    row = line('{"custom_id": "a", "id": 2}', OWN_ID)
    assert (row.custom_id, row.payload) == (None, {"custom_id": "a", "id": 2})
    row = line('{"payload": {"custom_id": "a", "id": 2}, "custom_id": "b"}', OWN_ID)
    assert (row.custom_id, row.payload) == ("b", {"custom_id": "a", "id": 2})


@pytest.mark.parametrize("custom_id", ["", "x" * 129, "a\nb", "\x7f", 7, ["a"], {}, True])
@pytest.mark.parametrize("wrapped", [True, False])
def test_an_invalid_id_is_refused_and_never_dropped(custom_id: object, wrapped: bool) -> None:
    item = {"payload": {"id": 1}} if wrapped else {"id": 1}
    found = rejection(json.dumps(item | {"custom_id": custom_id}))
    assert (found.code, found.line) == ("invalid_item", 1)
    assert "text of 1 to 128 characters" in found.detail


@pytest.mark.parametrize("custom_id", ["x" * 128, "ä" * 128, "a b", "\u00a0", "=1+1"])
def test_ids_up_to_the_limit_are_taken(custom_id: str) -> None:
    assert line(json.dumps({"id": 1, "custom_id": custom_id})).custom_id == custom_id


def test_a_field_beside_the_payload_is_refused() -> None:
    found = rejection('{"payload": {"id": 1}, "customid": "a"}', OPEN)
    assert (found.code, found.line) == ("invalid_item", 1)
    assert "`customid` stands beside `payload`" in found.detail


@pytest.mark.parametrize(
    "text",
    [
        '{"custom_id": "a", "id": 1e2, "x": 0.10000000000000000555, "y": [100000000000000000001, 1.50]}',
        '{"payload": {"id": 1e2, "x": 0.10000000000000000555, "y": [100000000000000000001, 1.50]}, "custom_id": "a"}',
    ],
)
def test_numbers_go_on_as_they_are_written(text: str) -> None:
    raw = line(text).raw.replace(b" ", b"")
    assert raw == b'{"id":1e2,"x":0.10000000000000000555,"y":[100000000000000000001,1.50]}'


def test_of_a_repeated_payload_the_one_that_was_checked_is_sent() -> None:
    row = line('{"payload": {"id": 1}, "payload": {"id": 2}}')
    assert (row.payload, row.raw) == ({"id": 2}, b'{"id": 2}')
    row = line('{"custom_id": "a", "id": 1, "id": 2}')
    assert (row.payload, json.loads(row.raw)) == ({"id": 2}, {"id": 2})


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ('{"id": }', 8, "Write one JSON object per line"),
        ('[{"id": 1},', None, "This is a JSON list"),
        ('[{"id": 1}]', None, "This is a JSON list"),
        ("{", 2, "has to stand on one line"),
        ('{"id": 1},', 10, "without commas between them"),
        ('{"id": 1e400}', 8, "infinity"),
        ('{"id": NaN}', 8, "one JSON object per line"),
        ('{"ä": "\\ud800"}', 8, "surrogate"),
    ],
)
def test_a_line_that_is_no_json_is_refused_with_column_and_advice(text: str, column: int | None, words: str) -> None:
    found = rejection('{"id": 1}\n\n' + text + "\n")
    assert (found.code, found.line) == ("malformed_json", 3)
    assert words in found.detail
    if column is not None:
        assert found.detail.startswith(f"Column {column}: ")


def test_a_line_in_another_encoding_is_refused_with_the_word_that_helps() -> None:
    found = rejection('{"id": 1}\n{"note": "Größe"}\n'.encode("windows-1252"))
    assert (found.line, "Windows-1252" in found.detail, "0xF6" in found.detail) == (2, True, True)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_unicode_with_a_byte_order_mark_is_understood(encoding: str) -> None:
    body = '{"id": 1, "note": "ä"}\r\n{"id": 2}\r\n'.encode(encoding)
    rows = [row for row in read(NdjsonReader(NAMED), body) if isinstance(row, Row)]
    assert [row.payload for row in rows] == [{"id": 1, "note": "ä"}, {"id": 2}]


@pytest.mark.parametrize("nesting", [b"[" * 300, b"[" * 100_000])
def test_any_depth_is_refused_and_raises_nothing(nesting: bytes) -> None:
    body = b'{"id": ' + nesting + nesting.replace(b"[", b"]") + b"}"
    (found,) = read(NdjsonReader(OPEN), body)
    if isinstance(found, Row):
        checked = validate_item(validator(OPEN), 0, found.payload, found.raw, None)
        assert isinstance(checked, Rejection)
        found = checked
    assert found.code == "item_too_deep"


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"id": 1}, '{"payload": {…}, "custom_id": "…"}'),
        ({"id": 1, "custom_id": "a"}, '{"payload": {…}, "custom_id": "…"}'),
        ({"payload": {"id": 1}, "customid": "a"}, "customid"),
    ],
)
def test_a_command_takes_the_form_with_payload_and_says_so(item: dict[str, Any], words: str) -> None:
    with pytest.raises(IngestError) as raised:
        decode(json.dumps({"workload": "w", "items": [{"payload": {}}, item]}).encode(), BatchSubmit)
    assert (raised.value.rejection.code, raised.value.rejection.line) == ("invalid_item", 2)
    assert words in raised.value.rejection.detail


IDS = st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=20)
NUMBERS = st.integers(-(10**30), 10**30)
NOTES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), min_size=1, max_size=10)


def by_ndjson(items: list[tuple[int, str, str | None]], *, wrapped: bool) -> list[Row | Rejection]:
    lines = []
    for number, note, custom_id in items:
        payload: dict[str, Any] = {"id": number, "note": note}
        named = {} if custom_id is None else {"custom_id": custom_id}
        lines.append(json.dumps({"payload": payload} | named if wrapped else payload | named))
    return read(NdjsonReader(NAMED), "\n".join(lines))


def by_csv(items: list[tuple[int, str, str | None]]) -> list[Row | Rejection]:
    text = io.StringIO()
    csv.writer(text).writerows([("custom_id", "id", "note"), *((c, n, t) for n, t, c in items)])
    return read(CsvReader(NAMED), text.getvalue())


def validated(rows: list[Row | Rejection]) -> list[ValidatedItem | Rejection]:
    found: list[ValidatedItem | Rejection] = []
    for ordinal, row in enumerate(rows):
        assert isinstance(row, Row), row
        found.append(validate_item(validator(), ordinal, row.payload, row.raw, row.custom_id))
    return found


@given(st.lists(st.tuples(NUMBERS, NOTES, IDS), min_size=1, max_size=5))
def test_every_way_of_submission_reads_the_same_items(items: list[tuple[int, str, str | None]]) -> None:
    body = json.dumps(
        {"workload": "w", "items": [{"payload": {"id": n, "note": t}, "custom_id": c} for n, t, c in items]}
    )
    submitted = validate_items(validator(), BatchSubmit.decode(body.encode()).items, 0)
    append = body.replace('"workload": "w"', '"batch_id": "019aa7c2-5d3e-7c41-9f0a-2b6d8e1f4a70", "sequence": 0')
    appended = validate_items(validator(), BatchAppend.decode(append.encode()).items, 0)
    assert isinstance(submitted, list)
    readings = [
        submitted,
        appended,
        validated(by_ndjson(items, wrapped=True)),
        validated(by_ndjson(items, wrapped=False)),
        validated(by_csv(items)),
    ]
    read_by_each = [[_essence(item) for item in reading] for reading in readings if not isinstance(reading, Rejection)]
    assert len(read_by_each) == len(readings)
    assert read_by_each == [[_essence(item) for item in submitted]] * len(readings)
    assert [json.loads(item.raw)["id"] for item in submitted] == [number for number, _, _ in items]
    assert [item.custom_id for item in submitted] == [custom_id for _, _, custom_id in items]


@given(st.lists(st.integers(-(10**40), 10**40), min_size=2, max_size=2, unique=True))
def test_integers_of_any_size_have_keys_of_their_own(numbers: list[int]) -> None:
    """Neighbours beyond 64 bits are no duplicates of each other, in the dedup index and in the result cache."""
    rows = read(NdjsonReader(NAMED), "\n".join(f'{{"id": {number}}}' for number in numbers))
    payloads = [row.payload for row in rows if isinstance(row, Row)]
    assert len({validator().fingerprint(payload) for payload in payloads}) == 2
    chunk = _chunk([b'{"ordinal":%d,"payload":{"id":%d}}' % pair for pair in enumerate(numbers)])
    assert [item.payload["id"] for item in chunk.items] == numbers
    assert len({fingerprint("/id", item.payload) for item in chunk.items}) == 2


def _chunk(items: list[bytes]) -> Any:
    head = ChunkHead(
        chunk_id=uuid4(), batch_id=uuid4(), workload="w", owner="o", partition="", priority="low", round=1, attempt=1,
        fence=1,
    )  # fmt: skip
    return ChunkDecoder.decode(head.with_items(items))


def _essence(item: ValidatedItem | Rejection) -> object:
    assert isinstance(item, ValidatedItem), item
    return item.custom_id, json.loads(item.raw), item.fingerprint, item.ordinal, item.partition
