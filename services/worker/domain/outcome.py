"""Outcomes of items: their types, their JSON, and how they follow from what a handler returned or raised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import ItemError
from batchyard_contracts.v1.work import ChunkItem
from batchyard_contracts.validation_words import sentence
from batchyard_contracts.workload import Ambiguous, Continuation, Permanent, RateLimited, WorkloadError
from services.worker.domain.checked_json import checked_json

_MAX_MESSAGE_CHARS = 2000
RATE_LIMIT_PAUSE_S = 30.0
"""Seconds of backoff when a destination rate-limits without naming a delay."""
PAUSE_MAX_S = 31_536_000.0
"""Longest backoff that a message may carry, one year; longer ones are cut to it."""
HELD_BACK = "held_back"
NOT_REPEATED = "The call may have had its effect, and is not repeated by itself."
_INVALID_RESULT = {
    False: "The result cannot be written as JSON",
    True: "Continuation has a state or a delay that cannot be kept",
}


@dataclass(slots=True)
class Success:
    """An `ItemOutcome` whose result is already JSON, without a pydantic model: there is one for nearly every item."""

    status: ClassVar[Literal["succeeded"]] = "succeeded"
    error: ClassVar[None] = None
    delay_s: ClassVar[None] = None
    state: ClassVar[None] = None
    cached: ClassVar[bool] = False
    ordinal: int
    custom_id: str | None
    json: bytes
    elapsed_ms: int

    @property
    def result(self) -> Any:
        """The result as a Python value."""
        return from_json(self.json)


Outcome = ItemOutcome | Success
OUTCOMES = (Success, ItemOutcome)
_NOT_FINAL = {"retry", "continued"}


def encode_outcome(outcome: Outcome) -> bytes:
    """Return the outcome as JSON for a report, without fields that have their default."""
    if isinstance(outcome, Success):
        more = b"" if outcome.custom_id is None else b',"custom_id":' + to_json(outcome.custom_id)
        if outcome.elapsed_ms:
            more += b',"elapsed_ms":%d' % outcome.elapsed_ms
        return b'{"ordinal":%d,"status":"succeeded"%b,"result":%b}' % (outcome.ordinal, more, outcome.json)
    return outcome.__pydantic_serializer__.to_json(outcome, exclude_none=True, exclude_defaults=True)


def is_final(outcome: Outcome) -> bool:
    """Return True when the item does not run again."""
    return outcome.status not in _NOT_FINAL


def from_result(
    item: ChunkItem, value: BaseModel | Continuation, elapsed_ms: int, model: type[BaseModel] = BaseModel
) -> Outcome:
    """Return the outcome of a handler that returned.

    A value fails the item if it is not of the result's `model`, which has checked its fields, if a field has been given
    a value of another type since, or if it cannot become JSON.
    """
    try:
        if not isinstance(value, model | Continuation):
            expected = "its result model" if model is BaseModel else f"its result model {model.__name__}"
            what = f"The handler returned {type(value).__name__}, not {expected}."
            return _with_result(_failed(item, "invalid_result", what, elapsed_ms), value)
        if isinstance(value, Continuation):
            outcome = ItemOutcome(
                ordinal=item.ordinal,
                custom_id=item.custom_id,
                status="continued",
                state=value.state,
                delay_s=value.delay_s,
                progress=value.progress,
                elapsed_ms=elapsed_ms,
            )
            to_json(outcome.state)
            return outcome
        return Success(item.ordinal, item.custom_id, checked_json(value), elapsed_ms)
    except Exception as error:  # noqa: BLE001  the value's own code runs here: fields, serializers, `__str__`
        what = f"{_INVALID_RESULT[isinstance(value, Continuation)]}: {_describe(error)}"
        failed = _failed(item, "invalid_result", what, elapsed_ms)
        return failed if isinstance(value, Continuation) else _with_result(failed, value)


def from_error(item: ChunkItem, error: BaseException, elapsed_ms: int) -> ItemOutcome:
    """Return the outcome of a handler that raised. Errors that it did not foresee are retried.

    A destination that asks for no wait at all (`Retry-After: 0`, a time that has passed) is called again after the
    usual backoff, which uses up an attempt.
    """
    delay_s, guessed = None, None
    final = isinstance(error, Permanent | Ambiguous)
    if isinstance(error, WorkloadError):
        names_no_time = isinstance(error, RateLimited) and error.delay_s is not None and not error.delay_s > 0
        scope = "item" if names_no_time else error.scope
        cause = ItemError(code=error.code, message=writable(str(error.message)), scope=scope)
    elif isinstance(error, TimeoutError):
        cause = ItemError(code="timeout", message=writable(str(error)))
    else:
        cause = ItemError(code="internal_error", message=_describe(error))
    if isinstance(error, RateLimited) and cause.scope == "provider":
        delay_s = RATE_LIMIT_PAUSE_S if error.delay_s is None else min(error.delay_s, PAUSE_MAX_S)
        guessed = True if error.delay_s is None else None
    return ItemOutcome(
        ordinal=item.ordinal,
        custom_id=item.custom_id,
        status="failed" if final else "retry",
        error=cause,
        delay_s=delay_s,
        guessed=guessed,
        elapsed_ms=elapsed_ms,
    )


def needs_review(item: ChunkItem, how: str, elapsed_ms: int = 0) -> ItemOutcome:
    """Return the outcome of an at-most-once item that started and whose end is unknown."""
    return from_error(item, Ambiguous(f"{how} {NOT_REPEATED}"), elapsed_ms)


def from_handler(
    item: ChunkItem,
    answer: Any,
    elapsed_ms: int,
    model: type[BaseModel] = BaseModel,
    *,
    at_most_once: bool = False,
) -> Outcome:
    """Return the outcome of a value or an error. With `at_most_once`, an unforeseen error needs review instead of a
    retry."""
    if not isinstance(answer, BaseException):
        return from_result(item, answer, elapsed_ms, model)
    try:
        if at_most_once and not isinstance(answer, WorkloadError):
            return needs_review(item, f"The handler did not end well ({_describe(answer)}).", elapsed_ms)
        return from_error(item, answer, elapsed_ms)
    except Exception as error:  # noqa: BLE001  an error without a text
        return internal_error(item, error, elapsed_ms)


def from_chunk_handler(
    items: Sequence[ChunkItem],
    answers: Any,
    elapsed_ms: int,
    model: type[BaseModel] = BaseModel,
    *,
    at_most_once: bool = False,
) -> list[Outcome]:
    """Return the outcomes of a chunk handler's results. If their number is wrong, all items fail without a retry."""
    if not isinstance(answers, list | tuple):
        message = f"The chunk handler returned {type(answers).__name__}, not a list with an answer for each item."
    elif len(answers) != len(items):
        message = f"The chunk handler returned {len(answers)} answers for {len(items)} items."
    else:
        return [
            from_handler(item, answer, elapsed_ms, model, at_most_once=at_most_once)
            for item, answer in zip(items, answers, strict=True)
        ]
    return [_failed(item, "wrong_answers", message, elapsed_ms) for item in items]


def internal_error(item: ChunkItem, error: BaseException, elapsed_ms: int) -> ItemOutcome:
    """Return the outcome of an item when building any other raised: an error without a text, a broken validator."""
    return _failed(item, "internal_error", f"No outcome could be made: {type(error).__name__}.", elapsed_ms)


def invalid_item(item: ChunkItem, error: ValidationError) -> ItemOutcome:
    """Return the outcome of an item that the workload's model rejects."""
    fault = sentence(error.errors(include_url=False, include_input=False)[0], "The item")
    cause = ItemError(code="invalid_item", message=writable(fault))
    return ItemOutcome(ordinal=item.ordinal, custom_id=item.custom_id, status="failed", error=cause)


def interrupted(item: ChunkItem, *, cancelled: bool) -> ItemOutcome:
    """Return the outcome of a stopped item: cancelled, or retried elsewhere because its worker stops."""
    if cancelled:
        return ItemOutcome(ordinal=item.ordinal, custom_id=item.custom_id, status="cancelled")
    error = ItemError(code="worker_stopping", message="Its worker stopped; it runs on another one.")
    return ItemOutcome(ordinal=item.ordinal, custom_id=item.custom_id, status="retry", error=error, delay_s=0.0)


def paused(item: ChunkItem) -> ItemOutcome:
    """Return the outcome of an item whose batch was paused before it started."""
    error = ItemError(code="batch_paused", message="Its batch was paused before it began.")
    return ItemOutcome(ordinal=item.ordinal, custom_id=item.custom_id, status="retry", error=error, delay_s=0.0)


def held_back(item: ChunkItem, delay_s: float) -> ItemOutcome:
    """Return the outcome of an item that cannot start soon, because its destination backs off."""
    error = ItemError(code=HELD_BACK, message="Its destination takes nothing for now; it waits.", scope="provider")
    return ItemOutcome(ordinal=item.ordinal, custom_id=item.custom_id, status="retry", error=error, delay_s=delay_s)


def worker_lost(item: ChunkItem, how: str) -> ItemOutcome:
    """Return the outcome of an item that ends every process in which it runs."""
    message = f"It ends the process that it runs in, also when it runs alone there: {how}."
    return _failed(item, "worker_lost", message, 0)


def retry_provider_refusal(outcome: ItemOutcome) -> ItemOutcome:
    """Turn a failure caused by the provider into a retry, for workloads with a circuit breaker."""
    if outcome.status != "failed" or outcome.error is None or outcome.error.scope != "provider":
        return outcome
    return outcome.model_copy(update={"status": "retry"})


def skipped(item: ChunkItem, error: ItemError) -> ItemOutcome:
    """Return the outcome of an item whose provider has just refused another one for a reason that holds for all."""
    return ItemOutcome(ordinal=item.ordinal, custom_id=item.custom_id, status="retry", error=error)


def too_large(outcome: Outcome, size: int, most: int) -> ItemOutcome:
    """Return the outcome that replaces one whose result is too large to be stored."""
    message = f"The result has {size} bytes, at most {most} are kept. Store it elsewhere, and return where it is."
    return ItemOutcome(
        ordinal=outcome.ordinal,
        custom_id=outcome.custom_id,
        status="failed",
        error=ItemError(code="result_too_large", message=message),
        elapsed_ms=outcome.elapsed_ms,
    )


def store_unavailable(outcome: Outcome, size: int, *, repeatable: bool) -> ItemOutcome:
    """Return the outcome that replaces one whose result can neither be stored now nor sent in a message."""
    consequence = "The item runs again." if repeatable else NOT_REPEATED
    message = f"The store of large results takes nothing for now, and the result has {size} bytes. {consequence}"
    return ItemOutcome(
        ordinal=outcome.ordinal,
        custom_id=outcome.custom_id,
        status="retry" if repeatable else "failed",
        error=ItemError(code="store_unavailable", message=message),
        elapsed_ms=outcome.elapsed_ms,
    )


def _failed(item: ChunkItem, code: str, message: str, elapsed_ms: int) -> ItemOutcome:
    cause = ItemError(code=code, message=writable(message))
    return ItemOutcome(
        ordinal=item.ordinal, custom_id=item.custom_id, status="failed", error=cause, elapsed_ms=elapsed_ms
    )


def _with_result(outcome: ItemOutcome, value: Any) -> ItemOutcome:
    """Return the outcome with a refused result beside its error, as far as it can be written: it may be paid for."""
    try:
        if isinstance(value, BaseModel):
            body = value.__pydantic_serializer__.to_json(value, warnings=False)
        else:
            body = to_json(value, inf_nan_mode="null")
        return outcome.model_copy(update={"result": from_json(body)})
    except Exception:  # noqa: BLE001  the value's own code runs here
        return outcome


def _describe(error: BaseException) -> str:
    return writable(f"{type(error).__name__}: {error}")


def writable(text: str) -> str:
    """Cut text of user code to its maximum length and replace lone surrogates, which no message can carry."""
    return text[:_MAX_MESSAGE_CHARS].encode("utf-8", "replace").decode("utf-8")
