"""`batchyard submit` of a file that breaks off: sent again, by itself, for as long as that is of use."""

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.cli.client import upload
from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import BATCH, FakeCluster, Run, state

ACCEPTED = {
    "batch_id": BATCH, "workload": "squares", "items": 2, "replayed": False, "accepted_at": "2026-11-21T20:00:00Z",
}  # fmt: skip
TEXT = "n\n1\n2\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "items.csv"
    path.write_text(TEXT)
    return path


def problem(status: int, code: str = "x", **fields: Any) -> Any:
    async def answer(_: web.Request) -> web.Response:
        document = {"title": code, "status": status, "detail": f"detail of {code}", "code": code, **fields}
        headers = {"Retry-After": "0"} if status in {429, 503} else None
        return web.json_response(document, status=status, headers=headers, content_type="application/problem+json")

    return answer


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def accept(_: web.Request) -> web.Response:
    return web.json_response(ACCEPTED, status=202)


async def test_an_upload_is_repeated_from_its_beginning_under_one_key(
    run: Run, cluster: FakeCluster, file: Path
) -> None:
    cluster.answer("POST /batches", hang_up, problem(429, "too_many_waiting"), problem(503, "unavailable"), accept)
    ended = await run("submit", "squares", str(file))
    assert (ended.code, ended.out.strip()) == (Exit.OK, BATCH)
    assert cluster.requests == [("POST /batches", TEXT)] * 4
    assert len({headers["Idempotency-Key"] for headers in cluster.headers}) == 1
    assert len({str(query) for query in cluster.queries}) == 1
    assert ended.err.count("what was taken is skipped") == 3
    assert "detail of too_many_waiting" in ended.err


async def test_the_server_may_still_hold_the_broken_connection_for_the_upload(
    run: Run, cluster: FakeCluster, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload.Submission, "_pause", lambda *_: 0.0)
    cluster.answer("POST /batches", hang_up, problem(409, "idempotency_in_progress"), accept)
    assert (await run("submit", "squares", str(file))).code == Exit.OK


async def test_an_upload_that_gets_no_further_ends(run: Run, cluster: FakeCluster, file: Path) -> None:
    stuck = [problem(429, "too_many_waiting", batch_id=BATCH, items=items) for items in (10_000, 20_000)]
    cluster.answer("POST /batches", *stuck)
    ended = await run("submit", "squares", str(file))
    assert ended.code == Exit.REFUSED
    assert len(cluster.requests) == upload.TRIES + 1  # the first of them got somewhere


async def test_a_wrong_line_is_not_sent_again(run: Run, cluster: FakeCluster, file: Path) -> None:
    cluster.answer("POST /batches", problem(422, "invalid_item", line=2, batch_id=BATCH, items=1))
    ended = await run("submit", "squares", str(file), "--idempotency-key", "mine")
    assert ended.code == Exit.USAGE
    assert len(cluster.requests) == 1
    assert "Line 2: detail of invalid_item" in ended.err
    assert "--idempotency-key mine: what was taken is skipped" in ended.err


async def test_a_cluster_that_is_not_there_is_not_waited_for(run: Run, file: Path) -> None:
    ended = await run("--url", "http://127.0.0.1:9", "submit", "squares", str(file))
    assert ended.code == Exit.UNREACHABLE
    assert "sent again" not in ended.err


async def test_the_batch_is_named_while_the_upload_goes_on(
    run: Run, cluster: FakeCluster, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "LOOK_S", 0.01)
    shown = asyncio.Event()

    async def show(_: web.Request) -> web.Response:
        shown.set()
        return web.json_response(state(batch_id=batch_id()))

    async def slow(request: web.Request) -> web.Response:
        cluster.answer(f"GET /batches/{batch_id()}", show)
        await shown.wait()
        return await accept(request)

    def batch_id() -> str:
        return next(dict(query)["batch_id"] for query in cluster.queries if query)

    cluster.answer("POST /batches", slow)
    ended = await run("submit", "squares", str(file))
    assert ended.code == Exit.OK
    assert f"batchyard watch {batch_id()}" in ended.err


@pytest.mark.parametrize("name", ["items.csv.gz", "items.gz"])
async def test_a_compressed_file_is_sent_as_it_is(run: Run, cluster: FakeCluster, tmp_path: Path, name: str) -> None:
    received: list[tuple[str, bytes]] = []

    async def take(request: web.Request) -> web.Response:
        received.append((request.headers["Content-Encoding"], await request.read()))  # expanded by aiohttp
        return await accept(request)

    (tmp_path / name).write_bytes(gzip.compress(TEXT.encode()))
    cluster.answer("POST /batches", take)
    ended = await run("submit", "squares", str(tmp_path / name), *([] if ".csv" in name else ["--format", "csv"]))
    assert ended.code == Exit.OK, ended.err
    assert received == [("gzip", TEXT.encode())]


async def test_a_compressed_json_list_is_expanded_here(run: Run, cluster: FakeCluster, tmp_path: Path) -> None:
    (tmp_path / "items.json.gz").write_bytes(gzip.compress(b'[{"n": 1}, {"n": 2}]'))
    cluster.answer("POST /batches", accept)
    assert (await run("submit", "squares", str(tmp_path / "items.json.gz"))).code == Exit.OK
    assert cluster.requests == [("POST /batches", '{"n": 1}\n{"n": 2}\n')]


async def test_the_server_reads_what_has_an_address(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /batches", {**ACCEPTED, "items": 0})
    address = "s3://incoming/ann/2026-12-01/"
    ended = await run("submit", "squares", address, "--format", "csv", "--name", "nightly", "--deadline", "2h")
    assert (ended.code, ended.out) == (Exit.OK, f"{BATCH}\n")
    assert "accepted; its files are read from now on" in ended.err
    ((_, body),) = cluster.requests
    assert (body["items_from"], body["name"]) == ({"url": address, "format": "csv"}, "nightly")
    assert (await run("submit", "squares", "https://example.com/a.csv")).code == Exit.OK
    assert cluster.requests[-1][1]["items_from"] == {"url": "https://example.com/a.csv"}


@pytest.mark.parametrize("options", [("--format", "json"), ("--estimate",), ("--item", "{}")])
async def test_options_that_need_the_items_are_refused_with_an_address(
    run: Run, cluster: FakeCluster, options: tuple[str, ...]
) -> None:
    ended = await run("submit", "squares", "https://example.com/a.json", *options)
    assert ended.code == Exit.USAGE
    assert cluster.requests == []
