"""The ASGI application, put together."""

from collections.abc import Collection

from fastapi import FastAPI, Request, WebSocket
from starlette.types import ASGIApp

from services.ingest.api.service import Door
from services.ingest.http import (
    batches,
    dead_letters,
    docs,
    openapi,
    problems,
    progress,
    rates,
    recommendations,
    results,
    retry,
    submit,
    workloads,
)
from services.ingest.http.edge import Edge
from services.ingest.http.tokens import Tokens

PREFIX = "/api/v1"
_DESCRIPTION = """Submit batches of work, follow them, steer them, and take their results.

Every refusal is a problem document (RFC 9457) whose `code` stays the same for the same cause. Progress comes live by
WebSocket: `GET /api/v1/batches/{id}/progress` sends where the batch stands, then each step (`batch.progressed.v1`),
then its end (`batch.finished.v1`), as JSON texts.
"""
_TAGS = [
    {"name": "batches", "description": "Submit, list, show and steer."},
    {"name": "results", "description": "What came of each item."},
    {"name": "rates", "description": "Rates of destinations, and the reasons for them."},
    {"name": "workloads", "description": "What can be run, and who runs it."},
    {"name": "recommendations", "description": "Which contractors fit a job best, at once."},
    {"name": "operators", "description": "Messages that could not be handled. Only for owners in BATCHYARD_OPERATORS."},
]


def build(door: Door, tokens: Tokens, *, max_websockets: int, amqp_url: str, operators: Collection[str]) -> ASGIApp:
    """The whole HTTP door."""

    async def owner_of(request: Request) -> str:
        return tokens.owner(request)

    def watcher_of(socket: WebSocket) -> str:
        return tokens.owner(socket)

    app = FastAPI(
        title="Batchyard",
        version="1",
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: "_".join((*map(str, route.tags), route.name)),
    )
    for part in (submit, retry, batches, results, workloads, recommendations):
        app.include_router(part.routes(door, owner_of), prefix=PREFIX)
    may_operate = operators if tokens.required else None
    app.include_router(rates.routes(door, owner_of, may_operate), prefix=PREFIX)
    app.include_router(dead_letters.routes(door, owner_of, amqp_url, may_operate), prefix=PREFIX)
    app.include_router(progress.routes(door, watcher_of, max_websockets), prefix=PREFIX)
    app.include_router(docs.routes())
    problems.install(app)
    openapi.install(app, tokens=tokens.required)
    app.add_middleware(Edge)
    return app
