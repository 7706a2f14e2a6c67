"""Rejections as problem documents (RFC 9457)."""

import math
from http import HTTPStatus
from uuid import UUID

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection

MEDIA_TYPE = "application/problem+json"
UNAVAILABLE = Rejection(
    "unavailable", "A required server is unavailable. Nothing was changed; try again in a moment.", 503
)
DEFECT = Rejection(
    "internal_error", "Unexpected error of the service; its log has the details. A retry may succeed.", 500
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_RETRY_AFTER_S = {503: 1, 504: 1}
_IN_PROGRESS_S = 2


class Problem(BaseModel):
    """Reason why a request failed. `code` is stable for the same cause; `detail` is for people."""

    type: str = Field(examples=["urn:batchyard:problem:invalid_item"])
    title: str = Field(examples=["Item invalid"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=['/url: 3 is not of type "string"'])
    code: str = Field(examples=["invalid_item"])
    instance: str | None = Field(None, examples=["/api/v1/batches"])
    line: int | None = Field(None, description="number of the first invalid item, counted from 1; in a file its line")
    batch_id: UUID | None = Field(None, description="batch that stays open after an interrupted upload")
    items: int | None = Field(None, description="number of items of that batch")


def problem_response(rejection: Rejection, instance: str | None) -> Response:
    """Return the response to a rejected request."""
    problem = Problem(
        type=f"urn:batchyard:problem:{rejection.code}",
        title=rejection.code.replace("_", " ").capitalize(),
        status=rejection.status,
        detail=rejection.detail,
        code=rejection.code,
        instance=instance,
        line=rejection.line,
        batch_id=rejection.batch_id,
        items=rejection.items,
    )
    headers = {}
    if rejection.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="batchyard"'
    if rejection.status == HTTPStatus.UPGRADE_REQUIRED:
        headers["Upgrade"] = "websocket"
    retry_after_s: float | None = rejection.retry_after_s
    if retry_after_s is None:
        retry_after_s = (
            _IN_PROGRESS_S if rejection.code.endswith("_in_progress") else _RETRY_AFTER_S.get(rejection.status)
        )
    if retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(retry_after_s))
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, rejection.status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Turn all errors of the application and of the framework into problem documents."""

    @app.exception_handler(IngestError)
    async def on_ingest_error(request: Request, error: IngestError) -> Response:
        return problem_response(error.rejection, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def on_validation_error(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        location = ".".join(str(part) for part in first["loc"])
        return problem_response(Rejection("invalid_request", f"{location}: {first['msg']}"), request.url.path)

    @app.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> Response:
        rejection = Rejection(
            HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"), error.detail, error.status_code
        )
        response = problem_response(rejection, request.url.path)
        response.headers.update(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(_allowed_methods(request))
        return response


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes with this path; the framework names those of one route only."""
    scope = {"type": "http", "path": request.scope["path"], "root_path": "", "headers": []}
    routes = request.app.routes
    return [
        method
        for method in _METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]
