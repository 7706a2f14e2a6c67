"""OpenAPI description: request bodies that are parsed by hand, problem responses, and authentication."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic.json_schema import models_json_schema

from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.schedules import ScheduleForm
from batchyard_contracts.v1.templates import TemplateRun, TemplateSave
from batchyard_contracts.v1.values import ItemResult
from services.ingest.http.access import scopes_of
from services.ingest.http.examples import RESPONSES
from services.ingest.http.models import (
    AcceptResultsRequest,
    AppendRequest,
    BackfillRequest,
    BatchActionRequest,
    ChangeRequest,
    DeadLetterRequest,
    ErasureRequest,
    ExportRequest,
    FinishRequest,
    InvalidateCacheRequest,
    KeyRequest,
    LimitsRequest,
    PauseRequest,
    RatesRequest,
    RedeemRequest,
    RemedyRequest,
    RestoreRequest,
    RetentionRequest,
    RetryRequest,
    RotateRequest,
)
from services.ingest.http.problems import MEDIA_TYPE, Problem

_REF = "#/components/schemas/{model}"
_MODELS = (
    Problem,
    BatchSubmit,
    AppendRequest,
    BatchActionRequest,
    ChangeRequest,
    DeadLetterRequest,
    ErasureRequest,
    ExportRequest,
    InvalidateCacheRequest,
    KeyRequest,
    FinishRequest,
    LimitsRequest,
    RatesRequest,
    RedeemRequest,
    RemedyRequest,
    AcceptResultsRequest,
    RetryRequest,
    RotateRequest,
    TemplateSave,
    TemplateRun,
    RestoreRequest,
    RetentionRequest,
    ScheduleForm,
    PauseRequest,
    BackfillRequest,
    ItemResult,
    BatchProgressed,
    BatchFinished,
)
_TITLES = {
    400: "Malformed body",
    401: "Missing or unknown API key",
    403: "The API key lacks a scope",
    404: "Not found",
    408: "Timeout while the body was read",
    409: "Conflict with the current state",
    412: "The batch was changed since the state in If-Match",
    413: "Too large",
    415: "Unsupported media type",
    416: "The range begins behind the end of the file",
    422: "Invalid request",
    429: "A limit of the owner or of all is reached: try again after Retry-After",
    502: "A service replied with an error",
    503: "A server is unavailable: try again in a moment",
    504: "A service did not reply in time",
}
_VISIBLE_ASCII = r"^[\x21-\x7e]+$"
READ_STATUSES = (401, 404, 422, 503)
"""Statuses of the problems of a route that reads or changes one thing."""
BODY_STATUSES = (400, 408, 413, 415)
"""Statuses of the problems of a route with a body, beside its others."""
QUERY_STATUSES = (401, 404, 422, 502, 503, 504)
"""Statuses of the problems of a route that asks another service."""
_TRANSIENT_STATUSES = {429, 503, 504}
_RETRY_AFTER = {
    "Retry-After": {"description": "seconds after which a retry may succeed", "schema": {"type": "integer"}}
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of the problem documents that a route may respond with."""
    schema = {"$ref": _REF.format(model="Problem")}
    return {
        s: {
            "description": _TITLES[s],
            "content": {MEDIA_TYPE: {"schema": schema}},
            **({"headers": _RETRY_AFTER} if s in _TRANSIENT_STATUSES else {}),
        }
        for s in statuses
    }


def idempotency_key_header() -> dict[str, Any]:
    """Return the description of the header `Idempotency-Key`."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _VISIBLE_ASCII},
        "description": "A repeated request with the same key acts once; another request with that key is an error.",
    }


def json_body(model: str, example: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a JSON body with the given model."""
    return {"schema": {"$ref": _REF.format(model=model)}, "example": example}


def request_body(model: str, example: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a route whose only body is JSON."""
    return {"requestBody": {"required": True, "content": {"application/json": json_body(model, example)}}}


def file_body(description: str, example: str) -> dict[str, Any]:
    """Return the description of a body of lines."""
    return {"schema": {"type": "string", "description": description}, "example": example}


def install(app: FastAPI) -> None:
    """Make the application serve this description."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # the way that FastAPI documents


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    _, extra = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_REF)
    components = document.setdefault("components", {})
    schemas = extra.get("$defs", {}) | components.get("schemas", {})
    components["schemas"] = {
        name: schemas[name] for name in sorted(schemas) if name not in {"HTTPValidationError", "ValidationError"}
    }
    _add_examples(document)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "an API key; each operation names its scopes"}
    }
    document["security"] = [{"bearer": []}]
    _add_scopes(document, app.routes)
    return document


def _add_scopes(document: dict[str, Any], routes: Iterable[Any]) -> None:
    """Add the scopes that each route asks for, and the answers to a key that lacks one of them or has used up its
    quota of requests."""
    for route in iter_route_contexts(list(routes)):
        is_described = isinstance(route.original_route, APIRoute) and route.include_in_schema
        if is_described and (scopes := scopes_of(route.dependant)):
            for method in route.methods or ():
                operation = document["paths"][route.path_format][method.lower()]
                operation["security"] = [{"bearer": scopes}]
                more = {str(status): answer for status, answer in problem_responses(403, 429).items()}
                operation["responses"] = dict(sorted((more | operation["responses"]).items()))


def _add_examples(document: dict[str, Any]) -> None:
    """Add an example of each answer that is JSON."""
    for operation in (one for item in document["paths"].values() for one in item.values()):
        for status, example in RESPONSES[operation["operationId"]].items():
            operation["responses"][status]["content"]["application/json"]["example"] = example
