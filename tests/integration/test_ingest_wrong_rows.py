"""A refused file or command lists all of its wrong rows, with a place for each, and stores nothing."""

import gzip
import json
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.v1.commands import BatchAppend, BatchSubmit, CommandRejected
from batchyard_contracts.v1.values import NewItem
from devstack import Servers
from services.ingest.http.content_encoding import MAX_EXPANSION
from tests.support.running_ingest import IngestHarness, running_ingest

NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv"}
JSON = {"Content-Type": "application/json"}
GZIP = {**CSV, "Content-Encoding": "gzip"}
UPLOAD = "/batches?workload=squares"


async def refusal(harness: IngestHarness, path: str, **options: Any) -> dict[str, Any]:
    """The problem document of a request that stores nothing."""
    before = await harness.rows("SELECT count(*) AS number FROM ingest.batches")
    status, problem = await harness.post(path, **options)
    assert status == problem["status"], problem
    assert await harness.rows("SELECT count(*) AS number FROM ingest.batches") == before
    assert problem["errors"][0]["code"] == problem["code"]
    found: dict[str, Any] = problem
    return found


async def test_all_wrong_rows_of_a_file_are_listed(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        lines = [
            b'{"n": 1}',
            b'{"n": "x"}',
            b"",
            b'{"n": 2,}',
            b'{"m": 3}',
            b'{"payload": {"n": 1}, "id": 4}',
            b'{"n": 5}',
        ]
        problem = await refusal(harness, UPLOAD, data=b"\n".join(lines), headers=NDJSON)
        assert [(e["code"], e["line"], e.get("pointer"), e.get("column")) for e in problem["errors"]] == [
            ("invalid_item", 2, "/n", None),
            ("malformed_json", 4, None, 8),
            ("invalid_item", 5, "", None),
            ("invalid_item", 6, None, None),
        ]
        assert (problem["error_count"], problem["line"]) == (4, 2)
        assert problem["detail"].endswith(" 3 more are wrong.")

        rows = b"n,custom_id\n1,a\nx,b\n3\n4,d\n5,e,f\n,g\n"
        problem = await refusal(harness, UPLOAD, data=rows, headers=CSV)
        assert [(e["line"], e.get("pointer"), e.get("column")) for e in problem["errors"]] == [
            (3, "/n", 1),
            (4, None, None),
            (6, None, None),
            (7, "", None),
        ]

        broken = b'n,custom_id\nx,a\n2,"b\nz,c\n'
        problem = await refusal(harness, UPLOAD, data=broken, headers=CSV)
        assert [e["line"] for e in problem["errors"]] == [2, 3], "nothing can be read behind an open quotation mark"


async def test_rows_beyond_the_hundredth_are_counted(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        body = b'{"n": 1}\n' + b'{"n": "x"}\n' * 3000
        problem = await refusal(harness, UPLOAD, data=body, headers=NDJSON)
        assert [e["line"] for e in problem["errors"]] == list(range(2, 102))
        assert problem["error_count"] == 3000
        items = [{"payload": {"n": "x"}}] * 150
        problem = await refusal(harness, "/batches", json={"workload": "squares", "items": items})
        assert (len(problem["errors"]), problem["error_count"]) == (100, 150)


async def test_a_long_upload_with_a_wrong_row_keeps_the_items_before_it_and_lists_all(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        rows = [b'{"n": 1}'] * 25_000
        rows[20_000], rows[24_000] = b'{"n": "x"}', b'{"n": "y"}'
        status, problem = await harness.post(UPLOAD, data=b"\n".join(rows), headers=NDJSON)
        assert (status, [e["line"] for e in problem["errors"]]) == (422, [20_001, 24_001])
        assert 10_000 <= problem["items"] <= 20_000
        (batch,) = await harness.rows("SELECT state, items FROM ingest.batches")
        assert (batch["state"], batch["items"]) == ("open", problem["items"])


async def test_all_wrong_items_of_a_command_are_listed(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        items = [{"payload": {"n": 1}}, {"payload": {"n": "x"}}, {"payload": {"n": 2}}, {"payload": {}}]
        problem = await refusal(harness, "/batches", json={"workload": "squares", "items": items})
        assert [(e["line"], e["pointer"]) for e in problem["errors"]] == [
            (2, "/items/1/payload/n"),
            (4, "/items/3/payload"),
        ]
        wrong = {"workload": "squares", "items": [{}, {"payload": 3, "x": 1}], "color": 1, "priority": "high"}
        problem = await refusal(harness, "/batches", json=wrong)
        assert {e["pointer"] for e in problem["errors"]} == {
            "/items/0/payload",
            "/items/1/payload",
            "/color",
            "/priority",
        }
        problem = await refusal(
            harness, "/batches", data=b'{"workload":\n "squares",}', headers={"Content-Type": "application/json"}
        )
        assert [(e["code"], e["line"]) for e in problem["errors"]] == [("malformed_json", 2)]

        reply = await harness.command(BatchSubmit(workload="squares", items=[NewItem(payload={"n": "x"})] * 2))
        assert isinstance(reply, CommandRejected)
        assert [(e.line, e.pointer) for e in reply.errors] == [(1, "/items/0/payload/n"), (2, "/items/1/payload/n")]
        assert reply.error_count == 2

        opened = (await harness.post("/batches", json={"workload": "squares", "sealed": False}))[1]["batch_id"]
        problem = await refusal(harness, f"/batches/{opened}/items", json={"sequence": 0, "items": items})
        assert [e["line"] for e in problem["errors"]] == [2, 4]
        append = BatchAppend(batch_id=UUID(opened), sequence=0, items=[NewItem(payload={"n": "x"})])
        reply = await harness.command(append)
        assert isinstance(reply, CommandRejected)
        assert [e.line for e in reply.errors] == [1]
        (batch,) = await harness.rows("SELECT items, next_sequence FROM ingest.batches")
        assert (batch["items"], batch["next_sequence"]) == (0, 0)


async def test_all_wrong_parameters_are_listed(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        status, problem = await harness.get("/batches?limit=0&status=lost&workload=No")
        assert (status, problem["code"]) == (422, "invalid_request")
        assert {e["parameter"]: e["detail"] for e in problem["errors"]} == {
            "limit": "`limit` takes at least 1.",
            "status": "`status` takes `open`, `running`, `paused` or `finished`.",
            "workload": "`workload` takes 1 to 48 lower-case letters, digits and hyphens, a letter first.",
        }


ROWS = "n,custom_id\n7,Größe\n"
COMMAND = json.dumps(
    {"workload": "squares", "items": [{"payload": {"n": 7}, "custom_id": "Größe"}]}, ensure_ascii=False
)


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("", "utf-8-sig"),
        ("", "utf-16"),
        ("utf-8", "utf-8"),
        ("utf-8", "utf-8-sig"),
        ('"UTF-16"', "utf-16"),
        ("utf-16", "utf-16-le"),
        ("utf-16le", "utf-16-le"),
        ("utf-16be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("iso-8859-1", "latin-1"),
        ("windows-1252; header=present", "cp1252"),
    ],
)
async def test_a_body_is_read_in_the_encoding_that_it_names(clean: Servers, charset: str, encoding: str) -> None:
    async with running_ingest(clean) as harness:
        parameter = f"; charset={charset}" if charset else ""
        for path, kind, text in ((UPLOAD, "text/csv", ROWS), ("/batches", "application/json", COMMAND)):
            body = text.encode(encoding)
            for sent, extra in ((body, {}), (gzip.compress(body), {"Content-Encoding": "gzip"})):
                headers = {"Content-Type": kind + parameter, **extra}
                status, accepted = await harness.post(path, data=sent, headers=headers)
                assert (status, accepted.get("items")) == (202, 1), accepted


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"Content-Type": "text/csv; charset=shift_jis"}, b"n\n1\n", 415, "unsupported_charset"),
        ({"Content-Type": "text/html"}, b"n\n1\n", 415, "unsupported_media_type"),
        ({"Content-Type": "text/csv", "Content-Encoding": "br"}, b"n\n1\n", 415, "unsupported_encoding"),
        ({"Content-Type": "text/csv", "Content-Encoding": "gzip"}, b"n\n1\n", 400, "invalid_encoding"),
        (
            {"Content-Type": "text/csv", "Content-Encoding": "gzip"},
            gzip.compress(b"n\n1\n", mtime=0)[:-9],
            400,
            "invalid_encoding",
        ),
        ({"Content-Type": "text/csv; charset=utf-16le"}, b"n\0\x00\xd8\n\0", 400, "invalid_encoding"),
        ({"Content-Type": "text/csv; charset=utf-16"}, b"n\0\n", 400, "invalid_encoding"),
        ({"Content-Type": "application/json"}, b'{\0"\0', 400, "malformed_json"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_with_the_word_that_helps(
    clean: Servers, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    async with running_ingest(clean) as harness:
        async with harness.http.post(harness.url + UPLOAD, data=body, headers=headers) as response:
            problem = json.loads(await response.read())
            assert (response.status, problem["code"]) == (status, code)
            if code == "unsupported_encoding":
                assert response.headers["Accept-Encoding"] == "gzip, identity"
        assert await harness.rows("SELECT batch_id FROM ingest.batches") == []


async def test_a_small_body_does_not_expand_without_bound(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        bomb = gzip.compress(b"\n" * (64 * 1024 * 1024))
        assert len(bomb) * MAX_EXPANSION < 64 * 1024 * 1024
        status, problem = await harness.post(UPLOAD, data=bomb, headers={**NDJSON, "Content-Encoding": "gzip"})
        assert (status, problem["code"]) == (413, "body_too_expanded")
        large = gzip.compress(b'{"workload": "squares", "name": "' + b"x" * 5_000_000 + b'"}')
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        status, problem = await harness.post("/batches", data=large, headers=headers)
        assert (status, problem["code"]) == (413, "message_too_large")
        members = gzip.compress(b'{"n": 1}\n') + gzip.compress(b'{"n": 2}\n')
        status, accepted = await harness.post(UPLOAD, data=members, headers={**NDJSON, "Content-Encoding": "gzip"})
        assert (status, accepted["items"]) == (202, 2)
