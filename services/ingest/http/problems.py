"""Refusals as problem documents (RFC 9457)."""

import math
from http import HTTPStatus
from uuid import UUID

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.ingest.domain.fault import Fault
from services.ingest.domain.refused import Refused

MEDIA_TYPE = "application/problem+json"
UNAVAILABLE = Fault("unavailable", "A server that is needed is away. Nothing was changed; try again in a moment.", 503)
DEFECT = Fault("internal_error", "This is a defect of the service, and has been logged. Trying again may help.", 500)
_RETRY_AFTER_S = {503: 1, 504: 1}
_IN_PROGRESS_S = 2


class Problem(BaseModel):
    """What went wrong. `code` stays the same for the same cause; `detail` is for people."""

    type: str = Field(examples=["urn:batchyard:problem:invalid_item"])
    title: str = Field(examples=["Item invalid"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=['/url: 3 is not of type "string"'])
    code: str = Field(examples=["invalid_item"])
    instance: str | None = Field(None, examples=["/api/v1/batches"])
    line: int | None = Field(None, description="the first item at fault, counted from 1; of a file: its line")
    batch_id: UUID | None = Field(None, description="of an upload that stopped midway: the batch that stays open")
    items: int | None = Field(None, description="how many items that batch has")


def response(fault: Fault, instance: str) -> Response:
    """The answer to a request that is refused."""
    problem = Problem(
        type=f"urn:batchyard:problem:{fault.code}",
        title=fault.code.replace("_", " ").capitalize(),
        status=fault.status,
        detail=fault.detail,
        code=fault.code,
        instance=instance,
        line=fault.line,
        batch_id=fault.batch_id,
        items=fault.items,
    )
    headers = {}
    if fault.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="batchyard"'
    pause: float | None = fault.retry_after_s
    if pause is None:
        pause = _IN_PROGRESS_S if fault.code.endswith("_in_progress") else _RETRY_AFTER_S.get(fault.status)
    if pause is not None:
        headers["Retry-After"] = str(math.ceil(pause))
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, fault.status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every refusal of the application and of the framework in this form."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return response(error.fault, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return response(Fault("invalid_request", f"{place}: {first['msg']}"), request.url.path)

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        fault = Fault(HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"), error.detail, error.status_code)
        answer = response(fault, request.url.path)
        answer.headers.update(error.headers or {})
        return answer
