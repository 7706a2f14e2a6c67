"""Validator of the questions to one workload, compiled once from its manifest."""

from typing import Any

import msgspec

from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.queries import WorkloadQuery
from services.ingest.domain.json_schema import CompiledSchema, schema_name
from services.ingest.domain.json_shape import is_deeper_than
from services.ingest.domain.limits import MAX_DEPTH
from services.ingest.domain.rejection import Rejection


class QuestionValidator:
    """Schemas of the requests of a workload's questions. Raises `ValueError` on an invalid schema."""

    def __init__(self, manifest: Manifest) -> None:
        self._workload = manifest.name
        self._schemas = {
            name: CompiledSchema(schema_name(manifest, f"question {name}"), question.request_schema)
            for name, question in manifest.questions.items()
        }

    def validate(self, question: str, body: bytes) -> WorkloadQuery | Rejection:
        """Return the query that asks the question, or the reason why it cannot be asked."""
        schema = self._schemas.get(question)
        if schema is None:
            known = ", ".join(sorted(self._schemas)) or "none"
            return Rejection(
                "unknown_question", f"{self._workload!r} has no question {question!r}. It has: {known}.", 404
            )
        try:
            request = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return Rejection("malformed_json", f"The body is not JSON: {error}.", 400)
        return _fault(schema, request) or WorkloadQuery.model_construct(
            workload=self._workload, question=question, request=request
        )


def _fault(schema: CompiledSchema, request: Any) -> Rejection | None:
    if not isinstance(request, dict):
        return Rejection("invalid_question", "The request of a question has to be a JSON object.", pointer="")
    if is_deeper_than(request, MAX_DEPTH):
        return Rejection("invalid_question", f"The request is nested deeper than {MAX_DEPTH} levels. Flatten it.")
    if schema.is_valid(request):
        return None
    misfit = schema.explain(request)
    return Rejection("invalid_question", misfit.detail, pointer=misfit.pointer)
