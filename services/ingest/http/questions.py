"""Route of questions to workloads, which a worker answers at once."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic_core import to_json

from batchyard_contracts.v1.manifest import QuestionName
from batchyard_contracts.v1.queries import MAX_QUESTION_BYTES
from batchyard_contracts.v1.values import WorkloadName
from services.ingest.api.service import IngestService
from services.ingest.domain.rejection import Rejection
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.openapi import problem_responses
from services.ingest.http.workloads import get_workload

_TOO_LARGE = Rejection(
    "message_too_large", f"A question has at most {MAX_QUESTION_BYTES} bytes. Ask for less at a time.", 413
)
_BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}, "example": {"text": "so much to do"}}},
    }
}


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the route."""
    router = APIRouter(tags=["workloads"])
    owner_of = access.owner("batches:write")

    @router.post(
        "/workloads/{name}/questions/{question}",
        summary="Ask a workload",
        response_model=dict[str, Any],
        responses=problem_responses(400, 401, 404, 408, 409, 413, 415, 422, 429, 502, 503, 504),
        openapi_extra=_BODIES,
    )
    async def ask(
        name: WorkloadName, question: QuestionName, request: Request, owner: Annotated[str, Depends(owner_of)]
    ) -> Response:
        """Send a question to a workload and wait for the answer of a worker. Nothing is stored. `GET
        /api/v1/workloads/{name}` has the questions with the schemas of their requests and answers."""
        body.media_type(request, body.JSON)
        workload = await get_workload(service, name)
        asked = await body.read_bytes(request, MAX_QUESTION_BYTES, _TOO_LARGE)
        with access.limits.question(owner):
            answer = await service.ask(workload, question, asked)
        return Response(to_json(answer, inf_nan_mode="null"), media_type=body.JSON)

    return router
