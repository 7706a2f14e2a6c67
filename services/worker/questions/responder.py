"""Answers one question of one workload: every error of its function becomes an error of the reply."""

import asyncio
from typing import Any, Literal

import structlog
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import MAX_QUESTION_BYTES, QuestionError, WorkloadQuery, WorkloadReply
from batchyard_contracts.validation_words import sentence
from batchyard_contracts.workload import Permanent, QuestionContext, QuestionDefinition, WorkloadError
from services.worker.domain.outcome import writable
from services.worker.questions.limits import Admission, AdmittedCall, QuestionRefused
from services.worker.questions.owner_slots import OwnerSlots

log = structlog.get_logger()


class QuestionResponder:
    """Runs the function of one question on requests."""

    def __init__(
        self,
        workload: str,
        name: str,
        definition: QuestionDefinition,
        resources: Any,
        limits: Admission | None = None,
        slots: OwnerSlots | None = None,
    ) -> None:
        """`limits`: limits that it passes before the call; `slots`: slots that owners share. None outside of a worker,
        where none apply."""
        self._name = f"{name!r} of the workload {workload!r}"
        self._limits = limits
        self._slots = slots
        self._definition = definition
        self._context = QuestionContext(resources)

    async def on_workload_query(self, query: WorkloadQuery, envelope: Envelope) -> WorkloadReply:
        """Return the answer to a request, or the error that prevented one. The function is called at most once, when
        it is the owner's turn and the limits of the workload permit it."""
        if self._slots is None:
            return await self._answer(query)
        try:
            async with self._slots.take(envelope.owner):
                return await self._answer(query)
        except QuestionRefused as error:
            return WorkloadReply(error=error.error)

    async def _answer(self, query: WorkloadQuery) -> WorkloadReply:
        try:
            request = self._definition.request.model_validate_json(to_json(query.request, inf_nan_mode="null"))
        except ValidationError as error:
            return _error("invalid_question", _first_fault(error), "request")
        call: AdmittedCall | None = None
        ended_by: WorkloadError | None = None
        try:
            async with asyncio.timeout(self._definition.timeout_s) as limit:
                if self._limits is not None:
                    call = await self._limits.admit(query.request, self._definition.timeout_s)
                answer = await self._definition.function(request, self._context)
        except QuestionRefused as error:
            return WorkloadReply(error=error.error)
        except WorkloadError as error:
            ended_by = error
            at_fault = isinstance(error, Permanent) and error.scope == "item"
            return _error(error.code, error.message, "request" if at_fault else "workload")
        except Exception as error:
            if limit.expired():
                took = f"took longer than {self._definition.timeout_s:g} s"
                return _error("timeout", f"The question {self._name} {took}. Ask again, or ask for less.")
            log.exception("question failed", question=self._name)
            return _error("internal_error", f"The question {self._name} failed: {type(error).__name__}: {error}")
        finally:
            if call is not None:
                await call.end(ended_by)
        return self._reply(answer)

    def _reply(self, answer: BaseModel) -> WorkloadReply:
        if not isinstance(answer, self._definition.answer):
            kind = type(answer).__name__
            return _error("invalid_answer", f"The question {self._name} returned {kind}, not the model of its answer.")
        body = answer.__pydantic_serializer__.to_json(answer)
        if len(body) > MAX_QUESTION_BYTES:
            return _error(
                "answer_too_large",
                f"The answer has {len(body)} bytes; at most {MAX_QUESTION_BYTES} are sent. Ask for less at a time.",
                "request",
            )
        return WorkloadReply(answer=from_json(body))


def _error(code: str, message: str, scope: Literal["request", "workload"] = "workload") -> WorkloadReply:
    return WorkloadReply(error=QuestionError(code=code, message=writable(message), scope=scope))


def _first_fault(error: ValidationError) -> str:
    return sentence(error.errors(include_url=False, include_input=False)[0], "The request")
