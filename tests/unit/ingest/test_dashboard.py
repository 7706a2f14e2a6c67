"""The dashboard's files are served so that browsers keep what never changes, and execute nothing else."""

import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from services.ingest.http import dashboard, problems
from services.ingest.http.dashboard import File, PageOfOtherPaths
from services.ingest.http.request_middleware import RequestMiddleware

SCRIPT = b"console.log(1);"
FILES = {
    "index.html": File("index.html", b"<!doctype html><title>Batchyard</title>", {}),
    "main-B1a2c3d4.js": File("main-B1a2c3d4.js", SCRIPT, {"gzip": gzip.compress(SCRIPT), "br": b"compressed"}),
    "licences.txt": File("licences.txt", b"MIT", {}),
}


def client_of(files: dict[str, File]) -> httpx.AsyncClient:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.post("/api/v1/things")
    async def things() -> None: ...

    app.include_router(dashboard.routes(files))
    app.router.default = PageOfOtherPaths(files.get(dashboard.PAGE), app.router.default)
    problems.install(app)
    app.add_middleware(RequestMiddleware)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(FILES) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/batches", "/batches/019a2b3c-0000-7000-8000-000000000001/results", "/apix"])
async def test_a_path_of_the_page_is_the_page(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert (answer.status_code, answer.content) == (200, FILES["index.html"].content)
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"] == dashboard.POLICY
    assert "unsafe" not in dashboard.POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_page_is_sent_again_only_when_it_has_changed(client: httpx.AsyncClient) -> None:
    tag = (await client.get("/")).headers["etag"]

    assert (await client.get("/batches", headers={"If-None-Match": tag})).status_code == 304
    assert (await client.get("/", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_a_file_named_by_its_hash_is_kept_for_ever(client: httpx.AsyncClient) -> None:
    answer = await client.get("/assets/main-B1a2c3d4.js", headers={"Accept-Encoding": "identity"})

    assert (answer.status_code, answer.content) == (200, SCRIPT)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("gzip;q=0", None), ("", None), ("deflate, GZIP;q=0.5", "gzip")],
)
async def test_the_copy_that_the_client_accepts_is_sent(
    client: httpx.AsyncClient, accepted: str, coding: str | None
) -> None:
    answer = await client.get("/assets/main-B1a2c3d4.js", headers={"Accept-Encoding": accepted})

    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.content == SCRIPT


async def test_brotli_goes_before_gzip() -> None:
    async with (
        client_of(FILES) as client,
        client.stream("GET", "/assets/main-B1a2c3d4.js", headers={"Accept-Encoding": "gzip, br"}) as answer,
    ):
        raw = b"".join([part async for part in answer.aiter_raw()])

    assert (answer.headers["content-encoding"], raw) == ("br", b"compressed")


@pytest.mark.parametrize(
    "path", ["/assets/gone-B1a2c3d4.js", "/assets/index.html", "/assets/", "/api/v1/absent", "/docs/x"]
)
async def test_a_path_of_no_page_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_wrong_method_of_the_api_is_told_as_such(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/things")).status_code == 405


async def test_nothing_is_sent_to_the_page(client: httpx.AsyncClient) -> None:
    assert (await client.post("/batches")).status_code == 404


async def test_without_the_build_the_page_says_how_to_make_it() -> None:
    async with client_of({}) as client:
        answer = await client.get("/")

    assert answer.status_code == 503
    assert "make dashboard" in answer.text
