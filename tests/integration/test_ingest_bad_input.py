"""Invalid input over AMQP and HTTP is rejected as a whole, with a reason that names the first invalid item."""

import asyncio
import io
import json
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from batchyard_contracts import topology
from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.commands import CommandRejected
from batchyard_contracts.v1.events import BatchRejected
from batchyard_contracts.v1.flow import WorkerAnnounced
from devstack import Servers
from services.ingest.api import invalid_command
from services.ingest.domain.limits import MAX_ITEM_BYTES
from shared.messaging import delivery, publisher
from shared.messaging.dead_letters import REASON
from tests.support.patience import PATIENCE_S
from tests.support.running_ingest import SQUARES, IngestHarness, running_ingest


def items(*payloads: Any) -> dict[str, Any]:
    return {"workload": "squares", "items": [{"payload": payload} for payload in payloads]}


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


GOOD = {"n": 1}
BAD: dict[str, tuple[bytes, str, int, int | None]] = {
    "unknown workload": (
        orjson.dumps(items(GOOD) | {"workload": "cubes"}),
        "unknown_workload",
        422,
        None,
    ),
    "malformed JSON": (b'{"workload": "squares", "items": [', "malformed_json", 400, None),
    "not UTF-8": (b'{"workload": "squares", "items": [{"payload": {"note": "\xff"}}]}', "malformed_json", 400, None),
    "lone surrogate": (
        b'{"workload": "squares", "items": [{"payload": {"n": 1, "note": "\\ud800"}}]}',
        "malformed_json",
        400,
        None,
    ),
    "nested too deep to be read": (b'{"workload": ' + b"[" * 5000, "malformed_json", 400, None),
    "not an object": (b"[1]", "invalid_command", 422, None),
    "unknown field": (orjson.dumps(items(GOOD) | {"wrokload": "x"}), "invalid_command", 422, None),
    "wrong priority": (orjson.dumps(items(GOOD) | {"priority": "high"}), "invalid_command", 422, None),
    "NUL in the name": (orjson.dumps(items(GOOD) | {"name": "a\x00b"}), "invalid_command", 422, None),
    "breaks the schema": (orjson.dumps(items(GOOD, {"n": 2}, {"n": "3"}, {"n": -1})), "invalid_item", 422, 3),
    "misses a field": (orjson.dumps(items({})), "invalid_item", 422, 1),
    "payload is no object": (orjson.dumps(items(GOOD, [])), "invalid_item", 422, 2),
    "item with an unknown field": (
        orjson.dumps({"workload": "squares", "items": [{"payload": GOOD}, {"payload": GOOD, "id": 1}]}),
        "invalid_item",
        422,
        2,
    ),
    "NaN": (b'{"workload": "squares", "items": [{"payload": {"n": NaN}}]}', "invalid_item", 422, 1),
    "NUL in an item": (orjson.dumps(items(GOOD, {"n": 1, "note": "a\x00b"})), "invalid_item", 422, 2),
    "item nested too deep": (orjson.dumps(items({"n": 1, "note": nested(100)})), "item_too_deep", 422, 1),
    "item too large": (orjson.dumps(items(GOOD, {"n": 1, "note": "x" * MAX_ITEM_BYTES})), "item_too_large", 413, 2),
    "no items": (orjson.dumps(items()), "no_items", 422, None),
    "too many items": (orjson.dumps(items(*[GOOD] * 10_001)), "too_many_items", 422, None),
    "too large": (
        orjson.dumps(items(*({"n": 1, "note": "x" * 200_000} for _ in range(22)))),
        "message_too_large",
        413,
        None,
    ),
}


async def nothing_remains(harness: IngestHarness) -> None:
    assert harness.flow == []
    assert await harness.dead_letters() == 0, "the sender was told"
    for table in ("batches", "outbox", "appends"):
        assert await harness.rows(f"SELECT FROM {table}") == []


async def test_invalid_commands_over_amqp_are_rejected(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        readable = {name: bad for name, bad in BAD.items() if len(bad[0]) <= MAX_MESSAGE_BYTES}
        for number, (name, (body, code, status, line)) in enumerate(readable.items(), 1):
            reply = await harness.raw_command("batch.submit.v1", body, message_id=f"m{number}")
            assert isinstance(reply, CommandRejected), name
            assert (reply.code, reply.status, reply.line) == (code, status, line), (name, reply)
            event = (await harness.wait_for(BatchRejected, number))[-1]
            assert (event.code, event.line, event.message_id, event.owner) == (code, line, f"m{number}", "default")
            assert event.detail == reply.detail
        await nothing_remains(harness)
        assert harness.events[0] == BatchRejected.model_validate(
            {
                "workload": "cubes",
                "owner": "default",
                "code": "unknown_workload",
                "detail": "No worker has announced 'cubes'. Known: squares.",
                "message_id": "m1",
                "at": harness.all(BatchRejected)[0].at,
            }
        )


async def test_a_too_large_message_over_amqp_is_rejected(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is lowered: the broker itself may reject messages beyond the real one."""
    for module in (delivery, invalid_command, publisher):
        monkeypatch.setattr(module, "MAX_MESSAGE_BYTES", 1000)
    async with running_ingest(clean) as harness:
        body = orjson.dumps(items({"n": 1, "note": "x" * 1000}))
        reply = await harness.raw_command("batch.submit.v1", body)
        assert isinstance(reply, CommandRejected)
        assert (reply.code, reply.status) == ("message_too_large", 413)
        (event,) = await harness.wait_for(BatchRejected)
        assert (event.code, event.workload) == ("message_too_large", "unknown")
        assert "at most 1000" in reply.detail
        await nothing_remains(harness)


async def test_an_unknown_version_over_amqp_is_rejected(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        waiting = await harness.begin_command("batch.submit.v2", orjson.dumps(items(GOOD)), message_id="m")
        reply = CommandRejected.decode((await waiting).body)
        assert (reply.code, reply.status) == ("unknown_type", 400)
        assert "batch.submit.v2" in reply.detail
        (event,) = await harness.wait_for(BatchRejected)
        assert event.workload == "squares"
        await nothing_remains(harness)


async def test_invalid_commands_over_http_are_rejected(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        for name, (body, code, status, line) in BAD.items():
            async with harness.http.post(
                f"{harness.url}/batches", data=io.BytesIO(body), headers={"Content-Type": "application/json"}
            ) as response:
                assert response.status == status, (name, await response.text())
                assert response.content_type == "application/problem+json"
                problem = json.loads(await response.read())
            assert (problem["code"], problem["status"], problem.get("line")) == (code, status, line), (name, problem)
            assert problem["type"] == f"/problems/{code}"
            assert problem["title"]
            assert problem["detail"]
            assert problem["instance"] == "/api/v1/batches"
        assert harness.events == []
        await nothing_remains(harness)


LINES: dict[str, tuple[bytes, str, int, int | None]] = {
    "breaks the schema": (b'{"n": 1}\n\n{"n": 2}\n{"n": "3"}\n', "invalid_item", 422, 4),
    "malformed": (b'{"n": 1}\n{"n": \n', "malformed_json", 400, 2),
    "NaN": (b'{"n": 1}\n{"n": NaN}\n', "malformed_json", 400, 2),
    "lone surrogate": (b'{"n": 1, "note": "\\ud800"}', "malformed_json", 400, 1),
    "NUL": (b'{"n": 1, "note": "\\u0000"}', "invalid_item", 422, 1),
    "nested too deep": (b'{"n": 1}\n{"n":' + b"[" * 100 + b"]" * 100 + b"}\n", "item_too_deep", 422, 2),
    "nested far too deep": (b"[" * 200_000, "item_too_deep", 422, 1),
    "no object": (b"3\n", "invalid_item", 422, 1),
    "custom id is empty": (b'{"payload": {"n": 1}, "custom_id": ""}', "invalid_item", 422, 1),
    "line too long": (
        b'{"n": 1}\n' + b'{"n": 1, "note": "' + b"x" * (MAX_ITEM_BYTES + 100_000),
        "item_too_large",
        413,
        2,
    ),
    "item too large": (b'{"n": 1, "note": "' + b"x" * MAX_ITEM_BYTES + b'"}\n', "item_too_large", 413, 1),
    "empty": (b"\n\n", "no_items", 422, None),
}


async def test_invalid_ndjson_is_rejected_with_its_line(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        for name, (body, code, status, line) in LINES.items():
            actual, problem = await harness.post(
                "/batches?workload=squares", data=io.BytesIO(body), headers={"Content-Type": "application/x-ndjson"}
            )
            assert (actual, problem["code"], problem.get("line")) == (status, code, line), (name, problem)
        await nothing_remains(harness)


CSV: dict[str, tuple[bytes, str, int, int | None]] = {
    "breaks the schema": (b"n,note\n1,a\nx,b\n", "invalid_item", 422, 3),
    "after a cell of two lines": (b'n,note\n1,"a\nb"\n-2,c\n', "invalid_item", 422, 4),
    "too many cells": (b"n\n1\n2,3\n", "malformed_csv", 400, 3),
    "quote without an end": (b'n,note\n1,"a\n', "malformed_csv", 400, 2),
    "not UTF-8": (b"n,note\n1,\xe9\n", "malformed_csv", 400, 2),
    "a column twice": (b"n,n\n1,2\n", "malformed_csv", 400, 1),
    "only a header": (b"n,note\n", "no_items", 422, None),
}


async def test_invalid_csv_is_rejected_with_its_line(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        for name, (body, code, status, line) in CSV.items():
            actual, problem = await harness.post(
                "/batches?workload=squares", data=body, headers={"Content-Type": "text/csv"}
            )
            assert (actual, problem["code"], problem.get("line")) == (status, code, line), (name, problem)
        await nothing_remains(harness)


async def test_invalid_requests_get_problem_documents(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        good = orjson.dumps(items(GOOD))
        cases: list[tuple[str, str, dict[str, Any], int, str]] = [
            (
                "POST",
                "/batches",
                {"data": good, "headers": {"Content-Type": "text/plain"}},
                415,
                "unsupported_media_type",
            ),
            ("POST", "/batches", {"data": good}, 415, "unsupported_media_type"),
            (
                "POST",
                "/batches",
                {"data": good, "headers": {"Content-Type": "application/json", "Content-Encoding": "br"}},
                415,
                "unsupported_encoding",
            ),
            (
                "POST",
                "/batches",
                {"data": good, "headers": {"Content-Type": "application/json", "Idempotency-Key": "é"}},
                400,
                "invalid_idempotency_key",
            ),
            ("POST", "/batches", {"data": b"", "headers": {"Content-Type": "text/csv"}}, 422, "invalid_request"),
            (
                "POST",
                "/batches?workload=NO",
                {"data": b"", "headers": {"Content-Type": "text/csv"}},
                422,
                "invalid_request",
            ),
            ("GET", "/batches/xyz", {}, 422, "invalid_request"),
            ("GET", "/batches?limit=0", {}, 422, "invalid_request"),
            ("GET", "/workloads/cubes", {}, 404, "unknown_workload"),
            ("GET", "/nothing", {}, 404, "not_found"),
            ("DELETE", "/batches", {}, 405, "method_not_allowed"),
        ]
        for method, path, options, status, code in cases:
            async with harness.http.request(method, harness.url + path, **options) as response:
                problem = json.loads(await response.read())
                assert (response.status, problem["code"]) == (status, code), (path, problem)
                assert response.content_type == "application/problem+json"
                if status == 404 and code == "not_found":
                    assert "`/docs`" in problem["detail"]
                if status == 405:
                    assert problem["detail"] == "This address does not take DELETE. It takes: GET, POST."
                    assert response.headers["Allow"] == "GET, POST"
        await nothing_remains(harness)


async def test_a_too_large_declared_length_is_rejected_before_the_body_is_sent(clean: Servers) -> None:
    async with running_ingest(clean) as harness:

        async def endless() -> Any:
            yield b"["
            raise AssertionError("the body was asked for")

        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(MAX_MESSAGE_BYTES + 1),
            "Expect": "100-continue",
        }
        async with harness.http.post(f"{harness.url}/batches", data=endless(), headers=headers) as response:
            assert response.status == 413


async def test_a_workload_with_an_invalid_schema_is_dead_lettered(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        for schema in ({"type": "sqare"}, {"$ref": "http://127.0.0.1:1/schema.json"}):
            broken = SQUARES.model_copy(update={"name": "broken", "item_schema": schema})
            message = WorkerAnnounced.model_validate(
                {"worker_id": "w2", "manifests": [broken], "started_at": "2026-01-01T00:00:00Z"}
            )
            await harness.publish(topology.FLOW, message)
            dead = await harness.dead_letter(topology.INGEST_WORKERS)
            assert "not usable" in str(dead.headers[REASON])
        assert [w["name"] for w in (await harness.get("/workloads"))[1]["workloads"]] == ["squares"]


async def test_requests_made_to_be_expensive_are_refused_while_others_are_served(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        _, accepted = await harness.post("/batches", json={**items(GOOD), "sealed": False})
        batch = f"{harness.url}/batches/{accepted['batch_id']}"
        longest_list = orjson.dumps({"clear": ["rate"] * (MAX_MESSAGE_BYTES // 7 - 2)})
        empty = len(orjson.dumps({"payload": {"n": ""}}))
        largest_payload = orjson.dumps({"payload": {"n": "x" * (MAX_MESSAGE_BYTES - empty)}})
        assert MAX_MESSAGE_BYTES - 100 < len(longest_list) <= MAX_MESSAGE_BYTES
        assert len(largest_payload) == MAX_MESSAGE_BYTES
        json_body, csv = {"Content-Type": "application/json"}, {"Content-Type": "text/csv"}
        async with harness.http.patch(batch, data=io.BytesIO(longest_list), headers=json_body) as response:
            assert response.status == 422
        status, problem = await harness.post(
            "/workloads/squares/invalidate-cache", data=io.BytesIO(largest_payload), headers=json_body
        )
        assert (status, problem["code"]) == (413, "message_too_large")
        status, problem = await harness.post(
            "/batches?workload=squares", data=io.BytesIO(b'n\n"' + b"\n" * 200_000), headers=csv
        )
        assert (status, problem["code"]) == (400, "malformed_csv")
        status, problem = await harness.post(
            "/batches?workload=squares", data=io.BytesIO(b'n\n"' + b"\n" * 2_000_000), headers=csv
        )
        assert (status, problem["code"]) == (413, "item_too_large")
        async with harness.http.patch(batch, json={"priority": "low"}) as response:
            assert response.status == 202


async def test_a_request_that_cannot_be_read_is_answered_by_a_problem(clean: Servers) -> None:
    """An address that does not end within 64 KB, and bytes that are no HTTP."""
    async with running_ingest(clean) as harness:
        address = urlsplit(harness.url)
        for sent in (b"GET /?" + b"x" * 70_000, b"hello\r\n\r\n"):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(sent)
            async with asyncio.timeout(PATIENCE_S):
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            assert head.startswith(b"HTTP/1.1 400 Bad Request")
            assert b"content-type: application/problem+json" in head.lower()
            assert json.loads(body)["code"] == "unreadable_request"
        assert (await harness.get("/workloads"))[0] == 200, "others are served"
