"""A cluster that answers by HTTP as ingest does, with answers that a test sets, and a way to run the command."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.cli.__main__ import main
from services.cli.client import upload

BATCH = "019a2b3c-0000-7000-8000-000000000001"


def state(**changes: Any) -> dict[str, Any]:
    """A batch as the ledger describes it."""
    return {
        "batch_id": BATCH,
        "owner": "default",
        "workload": "tracklists",
        "priority": "normal",
        "status": "running",
        "round": 1,
        "counts": {"total": 4, "succeeded": 1, "failed": 0, "remaining": 3},
        "accepted_at": "2026-11-21T20:00:00Z",
        "labels": {},
        **changes,
    }


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeCluster:
    """Remembers requests and gives the answers set for `METHOD path`, the last one again and again."""

    answers: dict[str, list[web.Response | Handler]] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    queries: list[list[tuple[str, str]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: str, *documents: Any, status: int = 200) -> None:
        """Answer with these documents, one after the other."""
        self.answers[request] = [each if callable(each) else _json(each, status) for each in documents]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = f"{request.method} {request.path.removeprefix('/api/v1')}"
        if request.content_type == "application/json":
            body = await request.json()
        else:
            body = await request.text()
        self.requests.append((name, body))
        self.queries.append(list(request.query.items()))
        self.headers.append(dict(request.headers))
        queue = self.answers.get(name)
        if queue is None:
            return web.json_response({"title": "Not found", "status": 404, "detail": f"no {name}"}, status=404)
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if callable(answer):
            return await answer(request)
        return web.Response(body=answer.body, status=answer.status, content_type=answer.content_type)


@dataclass(frozen=True)
class Ended:
    """The end of one run of the command."""

    code: int
    out: str
    err: str


Run = Callable[..., Any]


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    fake = FakeCluster()
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", fake.handle)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("")).rstrip("/")
        yield fake


@pytest.fixture
def run(
    cluster: FakeCluster, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Run `batchyard …` against the fake cluster, in a thread of its own since it brings its own event loop.

    The pauses before an upload is sent again are short."""
    monkeypatch.setattr(upload, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(upload, "LONGEST_PAUSE_S", 0.002)
    monkeypatch.setenv("BATCHYARD_URL", cluster.url)
    monkeypatch.delenv("BATCHYARD_TOKEN", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def command(argv: tuple[str, ...]) -> int:
        try:
            main(argv)
        except SystemExit as end:
            return int(end.code or 0)
        raise AssertionError("the command did not end by SystemExit")

    async def run_it(*argv: str) -> Ended:
        code = await asyncio.to_thread(command, argv)
        out, err = capfd.readouterr()
        return Ended(code, out, err)

    return run_it


def _json(document: Any, status: int) -> web.Response:
    kind = "application/json" if status < 400 else "application/problem+json"
    return web.json_response(document, status=status, content_type=kind)
