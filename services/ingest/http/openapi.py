"""The description of the API: request bodies that are read by hand, problem answers, and how to authenticate."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.values import ItemResult
from services.ingest.http.models import (
    AppendRequest,
    ChangeRequest,
    InvalidateCacheRequest,
    RecommendationsRequest,
    RetryRequest,
)
from services.ingest.http.problems import MEDIA_TYPE, Problem

_REF = "#/components/schemas/{model}"
_MODELS = (
    Problem,
    BatchSubmit,
    AppendRequest,
    ChangeRequest,
    InvalidateCacheRequest,
    RecommendationsRequest,
    RetryRequest,
    ItemResult,
    BatchProgressed,
    BatchFinished,
)
_TITLES = {
    400: "The body cannot be read",
    401: "No token, or one that is not known",
    403: "The owner is no operator",
    404: "The owner has no such thing",
    408: "The body stopped coming",
    409: "It contradicts what is there",
    413: "Too large",
    415: "Not a media type that is read here",
    422: "It can be read, and is wrong",
    429: "Too much waits already: try again after Retry-After",
    502: "A service answered that it cannot",
    503: "A server is away: try again in a moment",
    504: "A service did not answer in time",
}
_PASSING = {429, 503, 504}
_RETRY_AFTER = {"Retry-After": {"description": "seconds to wait before it may succeed", "schema": {"type": "integer"}}}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem documents that a route may answer with."""
    schema = {"$ref": _REF.format(model="Problem")}
    return {
        s: {
            "description": _TITLES[s],
            "content": {MEDIA_TYPE: {"schema": schema}},
            **({"headers": _RETRY_AFTER} if s in _PASSING else {}),
        }
        for s in statuses
    }


def idempotent() -> dict[str, Any]:
    """The description of the header under which a request counts once."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": "The same key with the same request acts once; with another request it is an error.",
    }


def json_body(model: str, example: dict[str, Any]) -> dict[str, Any]:
    """A JSON body that is one of the models named here."""
    return {"schema": {"$ref": _REF.format(model=model)}, "example": example}


def request_body(model: str, example: dict[str, Any]) -> dict[str, Any]:
    """The description of a route that takes only such a body."""
    return {"requestBody": {"required": True, "content": {"application/json": json_body(model, example)}}}


def file_body(description: str, example: str) -> dict[str, Any]:
    """A body of lines."""
    return {"schema": {"type": "string", "description": description}, "example": example}


def install(app: FastAPI, *, tokens: bool) -> None:
    """Make the application describe itself."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, tokens=tokens)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # the way that FastAPI documents


def _document(app: FastAPI, *, tokens: bool) -> dict[str, Any]:
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
    if tokens:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"bearer": []}]
    return document
