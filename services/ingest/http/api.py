"""Builds the ASGI application."""

from collections.abc import Collection

from fastapi import FastAPI, Request, WebSocket
from starlette.types import ASGIApp

from services.ingest.api.service import IngestService
from services.ingest.http import (
    batches,
    dead_letters,
    docs,
    openapi,
    problem_types,
    problems,
    progress,
    questions,
    rates,
    results,
    retry,
    submit,
    workloads,
)
from services.ingest.http.request_middleware import RequestMiddleware
from services.ingest.http.tokens import Tokens

PREFIX = "/api/v1"
_DESCRIPTION = """Submit batches of work, follow their progress, control them, and read their results.

Each error is a problem document (RFC 9457) whose `code` is stable for the same cause, and whose `type` is the address
of a page about it. Bodies may be compressed with gzip, and in UTF-16 if `Content-Type` or a byte-order mark says so.
The WebSocket `GET /api/v1/batches/{id}/progress` sends the current progress of a batch, each further step
(`batch.progressed.v1`) and its end (`batch.finished.v1`), as JSON texts.
"""
_TAGS = [
    {"name": "batches", "description": "Submit, list, show and control batches."},
    {"name": "results", "description": "Outcomes of items."},
    {"name": "rates", "description": "Rates of destinations, and the reasons for them."},
    {"name": "workloads", "description": "Workloads that can be run, and the workers that run them."},
    {"name": "operators", "description": "Dead letters. Only for owners in BATCHYARD_OPERATORS."},
]


def build_app(
    service: IngestService, tokens: Tokens, *, max_websockets: int, amqp_url: str, operators: Collection[str]
) -> ASGIApp:
    """Return the application with all routes, error handlers and middleware."""

    async def owner_of(request: Request) -> str:
        return tokens.owner(request)

    def websocket_owner_of(socket: WebSocket) -> str:
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
    for module in (submit, retry, batches, results, workloads, questions):
        app.include_router(module.routes(service, owner_of), prefix=PREFIX)
    allowed_operators = operators if tokens.required else None
    app.include_router(rates.routes(service, owner_of, allowed_operators), prefix=PREFIX)
    app.include_router(dead_letters.routes(service, owner_of, amqp_url, allowed_operators), prefix=PREFIX)
    app.include_router(progress.routes(service, websocket_owner_of, max_websockets), prefix=PREFIX)
    app.include_router(docs.routes())
    app.include_router(problem_types.routes())
    problems.install(app)
    openapi.install(app, tokens=tokens.required)
    app.add_middleware(RequestMiddleware)
    return app
