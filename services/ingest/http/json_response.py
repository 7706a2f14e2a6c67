"""Responses with a JSON body."""

from fastapi.responses import Response
from pydantic import BaseModel

from services.ingest.http import body


def json_response(value: BaseModel, status: int = 200) -> Response:
    """Return the response with a value, without the fields that are None."""
    return Response(value.model_dump_json(exclude_none=True), status, media_type=body.JSON)
