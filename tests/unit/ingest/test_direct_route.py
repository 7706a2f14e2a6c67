"""Requests without a query are served without the framework's look-up of parameters, and like all others."""

from typing import Annotated

import fastapi.routing
import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import PlainTextResponse, Response

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.http import problems
from services.ingest.http.direct_route import DirectRoute


async def owner_of(request: Request) -> str:
    if owner := request.headers.get("authorization"):
        return owner
    raise IngestError(Rejection("unauthorized", "Send a key.", 401))


@pytest.fixture
def http() -> httpx.AsyncClient:
    app, router = FastAPI(), APIRouter(route_class=DirectRoute)

    @router.post("/things")
    async def create(
        request: Request,
        who: Annotated[str, Depends(owner_of)],
        number: Annotated[int, Query(le=9)] = 1,
    ) -> Response:
        return PlainTextResponse(f"{who} {number} {(await request.body()).decode()}")

    app.include_router(router, prefix="/api")
    problems.install(app)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test/api")


@pytest.mark.parametrize(("query", "number"), [("", 1), ("?number=7", 7), ("?number=", None), ("?number=10", None)])
async def test_a_route_serves_requests_with_and_without_a_query(
    http: httpx.AsyncClient, query: str, number: int | None
) -> None:
    answer = await http.post(f"/things{query}", content=b"body", headers={"Authorization": "ann"})
    if number is None:
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    else:
        assert (answer.status_code, answer.text) == (200, f"ann {number} body")


@pytest.mark.parametrize("query", ["", "?number=7"])
async def test_a_route_refuses_unknown_clients_with_and_without_a_query(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.post(f"/things{query}", content=b"body")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_no_parameters_are_looked_up_without_a_query(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(fastapi.routing, "solve_dependencies")
    answer = await http.post("/things", content=b"body", headers={"Authorization": "ann"})
    assert answer.text == "ann 1 body"
