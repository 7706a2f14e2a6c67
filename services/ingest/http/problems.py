"""Rejections as problem documents (RFC 9457)."""

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import cast
from uuid import UUID

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from batchyard_contracts.v1.commands import MAX_INPUT_ERRORS, InputError
from batchyard_contracts.validation_words import sentence
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.http.problem_types import title_of, type_of

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

    type: str = Field(
        examples=["/problems/invalid_item"],
        description="address of a page about problems of this type; `about:blank` for a code of a workload's question",
    )
    title: str = Field(examples=["Invalid item"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["`url` takes text, and this is 3."])
    code: str = Field(examples=["invalid_item"])
    instance: str | None = Field(None, examples=["/api/v1/batches"])
    line: int | None = Field(None, description="number of the first invalid item, counted from 1; in a file its line")
    batch_id: UUID | None = Field(None, description="batch that stays open after an interrupted upload")
    items: int | None = Field(None, description="number of items of that batch")
    errors: list[InputError] | None = Field(
        None, description=f"wrong items and fields, in their order: the first {MAX_INPUT_ERRORS}"
    )
    error_count: int | None = Field(None, description="number of all wrong items and fields")


def problem_response(rejection: Rejection, instance: str | None) -> Response:
    """Return the response to a rejected request."""
    problem = Problem(
        type=type_of(rejection.code),
        title=title_of(rejection.code),
        status=rejection.status,
        detail=rejection.detail,
        code=rejection.code,
        instance=instance,
        line=rejection.line,
        batch_id=rejection.batch_id,
        items=rejection.items,
        errors=list(rejection.errors or _own_error(rejection)) or None,
        error_count=rejection.error_count or (1 if _own_error(rejection) else None),
    )
    headers = {}
    if rejection.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="batchyard"'
    if rejection.code == "unsupported_encoding":
        headers["Accept-Encoding"] = "gzip, identity"
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


def _own_error(rejection: Rejection) -> Sequence[InputError]:
    """Return the error of a rejection for one reason that has a place in the request."""
    has_place = rejection.line is not None or rejection.pointer is not None
    return (rejection.as_error(),) if has_place else ()


def install(app: FastAPI) -> None:
    """Turn all errors of the application and of the framework into problem documents."""

    @app.exception_handler(IngestError)
    async def on_ingest_error(request: Request, error: IngestError) -> Response:
        return problem_response(error.rejection, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def on_validation_error(request: Request, error: RequestValidationError) -> Response:
        return problem_response(_invalid_request(cast("Sequence[ErrorDetails]", error.errors())), request.url.path)

    @app.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> Response:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        detail, headers = error.detail, dict(error.headers or {})
        if error.status_code == HTTPStatus.NOT_FOUND:
            detail = "There is nothing at this address. `/docs` lists the addresses; the API begins with `/api/v1`."
        elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_allowed_methods(request))
            detail = f"This address does not take {request.method}. It takes: {headers['Allow']}."
        response = problem_response(Rejection(code, detail, error.status_code), request.url.path)
        response.headers.update(headers)
        return response


def _invalid_request(found: Sequence[ErrorDetails]) -> Rejection:
    """Return the rejection of a request with wrong parameters, which lists them."""
    errors = [
        InputError(code="invalid_request", detail=f"{sentence(_named(each))}.", parameter=str(_named(each)["loc"][0]))
        for each in found[:MAX_INPUT_ERRORS]
    ]
    more = f" {len(found) - 1} more {'is' if len(found) == 2 else 'are'} wrong." if len(found) > 1 else ""
    detail = errors[0].detail + more
    return Rejection("invalid_request", detail, errors=tuple(errors), error_count=len(found))


def _named(error: ErrorDetails) -> ErrorDetails:
    """Return an error whose place begins with the name of the parameter, and not with the part of the request."""
    return {**error, "loc": error["loc"][1:] or error["loc"]}


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes with this path; the framework names those of one route only."""
    scope = {"type": "http", "path": request.scope["path"], "root_path": "", "headers": []}
    routes = request.app.routes
    return [
        method
        for method in _METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]
