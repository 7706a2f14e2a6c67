"""Questions: a request becomes the answer of the workload's function, or an error that names who is at fault."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import MAX_QUESTION_BYTES, WorkloadQuery, WorkloadReply
from batchyard_contracts.workload import (
    Context,
    Permanent,
    QuestionContext,
    RateLimited,
    Transient,
    Workload,
    WorkloadError,
)
from services.worker.questions.limits import QuestionRefused
from services.worker.questions.responder import QuestionResponder


class Root(BaseModel):
    n: int = Field(ge=0)


class Rooted(BaseModel):
    n: float
    note: str | None = None


Answering = Callable[[Root, QuestionContext], Awaitable[Any]]


def squares() -> Workload[Root, Root]:
    made = Workload("squares", version="1", item=Root, result=Root)

    @made.handler
    async def run(item: Root, context: Context) -> Root:
        return item

    return made


async def ask(
    function: Answering, request: dict[str, Any], timeout_s: float = 5.0, limits: Any = None
) -> WorkloadReply:
    workload = squares()
    workload.question("root", request=Root, answer=Rooted, timeout_s=timeout_s)(function)  # type: ignore[arg-type]
    responder = QuestionResponder("squares", "root", workload.question_definitions["root"], "resources", limits)
    query = WorkloadQuery(workload="squares", question="root", request=request)
    return await responder.on_workload_query(query, Envelope(type=query.type, message_id="1"))


async def test_the_function_receives_the_request_and_the_resources_of_the_worker() -> None:
    async def root(request: Root, context: QuestionContext) -> Rooted:
        return Rooted(n=request.n**0.5, note=str(context.resources))

    reply = await ask(root, {"n": 9})

    assert reply == WorkloadReply(answer={"n": 3.0, "note": "resources"})


async def test_a_request_that_does_not_fit_the_model_is_at_fault_and_the_function_is_not_called() -> None:
    async def root(request: Root, _: QuestionContext) -> Rooted:
        raise AssertionError

    error = (await ask(root, {"n": -1})).error

    assert error
    assert (error.code, error.scope) == ("invalid_question", "request")
    assert error.message.startswith("`n` ")


@pytest.mark.parametrize(
    ("raised", "code", "scope"),
    [
        (Permanent("too_odd", "It is odd."), "too_odd", "request"),
        (Permanent("bad_key", scope="provider"), "bad_key", "workload"),
        (Transient("busy"), "busy", "workload"),
        (RateLimited(3.0), "rate_limited", "workload"),
        (KeyError("n"), "internal_error", "workload"),
        (TimeoutError(), "internal_error", "workload"),
    ],
)
async def test_an_error_of_the_function_is_the_reply(raised: Exception, code: str, scope: str) -> None:
    async def root(_: Root, __: QuestionContext) -> Rooted:
        raise raised

    error = (await ask(root, {"n": 1})).error

    assert error
    assert (error.code, error.scope) == (code, scope)


async def test_a_function_that_exceeds_its_time_is_interrupted() -> None:
    interrupted = asyncio.Event()

    async def root(_: Root, __: QuestionContext) -> Rooted:
        try:
            await asyncio.Event().wait()
        finally:
            interrupted.set()
        raise AssertionError

    error = (await ask(root, {"n": 1}, timeout_s=0.01)).error

    assert error
    assert (error.code, error.scope) == ("timeout", "workload")
    assert interrupted.is_set()


async def test_an_answer_of_another_model_or_beyond_the_size_limit_is_an_error() -> None:
    async def number(_: Root, __: QuestionContext) -> int:
        return 3

    async def long(_: Root, __: QuestionContext) -> Rooted:
        return Rooted(n=1, note="x" * MAX_QUESTION_BYTES)

    codes = [reply.error and reply.error.code for reply in (await ask(number, {"n": 1}), await ask(long, {"n": 1}))]

    assert codes == ["invalid_answer", "answer_too_large"]


def test_a_question_is_announced_with_its_schemas() -> None:
    workload = squares()

    @workload.question("root", request=Root, answer=Rooted, timeout_s=2, description="Root.", example={"n": 4})
    async def root(request: Root, _: QuestionContext) -> Rooted:
        return Rooted(n=request.n**0.5)

    question = workload.announcement().questions["root"]

    assert question.request_schema == Root.model_json_schema()
    assert question.answer_schema == Rooted.model_json_schema(mode="serialization")
    assert (question.timeout_s, question.description, question.example) == (2.0, "Root.", {"n": 4})


def test_a_question_needs_a_name_of_its_own_and_an_async_function() -> None:
    workload = squares()

    async def root(request: Root, _: QuestionContext) -> Rooted:
        return Rooted(n=request.n**0.5)

    def blocking(request: Root, _: QuestionContext) -> Rooted:
        return Rooted(n=request.n**0.5)

    workload.question("root", request=Root, answer=Rooted)(root)
    with pytest.raises(TypeError, match="two questions 'root'"):
        workload.question("root", request=Root, answer=Rooted)(root)
    with pytest.raises(TypeError, match="async def"):
        workload.question("other", request=Root, answer=Rooted)(blocking)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="pattern"):
        workload.question("Not A Name", request=Root, answer=Rooted)(root)


class Gate:
    """Limits that admit or refuse, and remember how calls ended."""

    def __init__(self, refused: QuestionRefused | None = None) -> None:
        self.refused, self.ends, self.requests = refused, list[WorkloadError | None](), list[object]()

    async def admit(self, request: object, within_s: float) -> "Gate":
        self.requests.append(request)
        if self.refused is not None:
            raise self.refused
        return self

    async def end(self, error: WorkloadError | None) -> None:
        self.ends.append(error)


async def test_a_refused_question_is_not_run_and_an_admitted_one_is_ended_with_its_error() -> None:
    limited = RateLimited(3.0)

    async def root(request: Root, __: QuestionContext) -> Rooted:
        if request.n == 1:
            raise limited
        if request.n == 2:
            raise OSError("a defect")
        return Rooted(n=request.n)

    refused, admitted = Gate(QuestionRefused("circuit_open", "It is open.")), Gate()
    error = (await ask(root, {"n": 1}, limits=refused)).error
    assert error
    assert (error.code, error.message, error.scope) == ("circuit_open", "It is open.", "workload")
    assert refused.ends == []
    error = (await ask(root, {"n": 1}, limits=admitted)).error
    assert error
    assert (error.code, admitted.requests) == ("rate_limited", [{"n": 1}])
    for n in (2, 3):
        await ask(root, {"n": n}, limits=admitted)
    assert admitted.ends == [limited, None, None]
