"""Parsers of input that anybody may send take time in proportion to its length, whatever it contains."""

from collections.abc import Callable

import orjson
import pytest

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.commands import BatchControl, BatchSubmit
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.invalid_body import rejection_of
from services.ingest.domain.readers.csv_rows import CsvReader
from services.ingest.domain.readers.ndjson import NdjsonReader
from services.ingest.domain.readers.rows import Reader
from services.ingest.exports.zip import safe_name
from services.ingest.http.body import decode as decode_body
from shared.messaging.delivery import Delivery, decode
from shared.runtime.errors import MessageRejected
from tests.support.growth import assert_linear

BATCH = b"019aa7c2-5d3e-7c41-9f0a-2b6d8e1f4a70"


def read(reader: Reader, body: bytes, chunk: int = 65_536) -> None:
    for start in range(0, len(body), chunk):
        for _ in reader.feed(body[start : start + chunk]):
            pass
    for _ in reader.finish():
        pass


@pytest.mark.parametrize(
    "body",
    [
        lambda n: b'url\n"' + b"\n" * n,
        lambda n: b'url\n"' + b'a""\n' * n,
        lambda n: b'url\n"' + b"\n" * n + b'"\n',
        lambda n: b"url\n" + b'"a"\n' * n,
        lambda n: b"url\n" + b'""' * n,
        lambda n: b"url\n" + b"," * n,
        lambda n: b'"' * n,
        lambda n: b'url\na" b"\n' * n,
        lambda n: b'url\n"' + b'",\n"' * n,
    ],
    ids=[
        "an open quote",
        "doubled quotes",
        "a closed quote",
        "rows",
        "one row of quotes",
        "cells",
        "quotes",
        "quotes within cells",
        "quotes on each line of a record",
    ],
)
def test_csv(body: Callable[[int], bytes]) -> None:
    assert_linear(lambda n: read(CsvReader({}), body(n)), 1000)


@pytest.mark.parametrize("cell", [lambda n: "9" * n + "x", lambda n: "1." + "0" * n + "x", lambda n: "," * n])
@pytest.mark.parametrize("kind", ["integer", "number"])
def test_cells_that_are_no_numbers(kind: str, cell: Callable[[int], str]) -> None:
    schema = {"properties": {"n": {"type": kind}}}
    assert_linear(lambda n: read(CsvReader(schema), f'n\n"{cell(n)}"\n'.encode()), 20_000)


@pytest.mark.parametrize("body", [lambda n: b'"a\n' * n, lambda n: b'a,"\n' * n])
def test_csv_that_arrives_line_by_line(body: Callable[[int], bytes]) -> None:
    assert_linear(lambda n: read(CsvReader({}), b"url,b\n" + body(n), chunk=4), 2000)


@pytest.mark.parametrize("body", [lambda n: b"{}\n" * n, lambda n: b"\n" * n, lambda n: b"[" * n])
def test_ndjson(body: Callable[[int], bytes]) -> None:
    assert_linear(lambda n: read(NdjsonReader({}), body(n)), 8000)


@pytest.mark.parametrize("make", [lambda: NdjsonReader({}), lambda: CsvReader({})])
def test_a_long_line_that_arrives_in_small_pieces(make: Callable[[], Reader]) -> None:
    assert_linear(lambda n: read(make(), b'"' + b"x" * n, chunk=16), 50_000)


@pytest.mark.parametrize(
    "body",
    [
        lambda n: b'{"workload": "http", "items": [' + b",".join([b'{"payload": {}}'] * n) + b"]}",
        lambda n: b'{"workload": "http", "items": [' + b",".join([b"1"] * n) + b"]}",
        lambda n: b'{"workload": "http", "items": [{"payload": {"a": ' + b"[" * 100 + b"1," * n + b"1",
        lambda n: b'{"workload": "http", "name": "' + b"\\u0301" * n + b'"}',
        lambda n: orjson.dumps({"workload": "http", **{f"k{i}": 1 for i in range(n)}}),
        lambda n: b"[" * n,
    ],
    ids=["items", "invalid items", "an unclosed list", "a long name", "unknown fields", "depth"],
)
def test_commands(body: Callable[[int], bytes]) -> None:
    def reject(n: int) -> None:
        try:
            decode(Delivery(body(n), Envelope(BatchSubmit.type, "1")), {BatchSubmit.type: BatchSubmit})
        except MessageRejected as error:
            rejection_of(error.__cause__)  # type: ignore[arg-type]

    assert_linear(reject, 2000)


def test_file_names_in_archives() -> None:
    assert_linear(lambda n: safe_name("a" + "\u0301\u0323" * n), 1000)


@pytest.mark.parametrize(
    "body",
    [
        orjson.dumps({"workload": "http", "x" * 1_000_000: 1}),
        b'{"workload": "http", "items": [{"payload": {}, "%s": 1}]}' % (b"x" * 1_000_000),
        b'{"batch_id": "%s", "action": "%s"}' % (BATCH, b"x" * 1_000_000),
    ],
    ids=["a field", "a field of an item", "a value"],
)
def test_the_reason_of_a_rejection_quotes_little_of_what_it_rejects(body: bytes) -> None:
    with pytest.raises(IngestError) as raised:
        decode_body(body, BatchControl if BATCH in body else BatchSubmit)
    assert len(raised.value.rejection.detail) < 1000
