"""Questions to a workload, which a worker answers at once."""

from typing import Annotated, ClassVar, Literal

from pydantic import JsonValue, StringConstraints

from batchyard_contracts.message import MAX_MESSAGE_BYTES, Message, Value
from batchyard_contracts.v1.manifest import QuestionName
from batchyard_contracts.v1.values import ErrorCode, WorkloadName

MAX_QUESTION_BYTES = MAX_MESSAGE_BYTES - 1024
"""Largest request of a question, and its largest answer, in bytes of JSON."""


class WorkloadQuery(Message):
    """Question to a workload, which a worker that runs it answers at once. `request` fits the question's schema."""

    type: ClassVar[str] = "workload.query.v1"
    workload: WorkloadName
    question: QuestionName
    request: dict[str, JsonValue]

    def routing_key(self) -> str:
        """Routing key that selects the queue of the question."""
        return f"{self.type}.{self.workload}.{self.question}"


class QuestionError(Value):
    """Error of a question. `scope` names the party at fault: the request, or the workload."""

    code: ErrorCode
    message: Annotated[str, StringConstraints(max_length=2000)] = ""
    scope: Literal["request", "workload"]


class WorkloadReply(Message):
    """Reply with the workload's answer, or with the error that kept it from answering."""

    type: ClassVar[str] = "workload.reply.v1"
    answer: JsonValue = None
    error: QuestionError | None = None
    """None: `answer` is the answer."""
