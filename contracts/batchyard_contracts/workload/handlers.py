"""Handlers of workloads: their signatures, their places of execution, and the context that they receive."""

import inspect
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Any, Literal, TypeAlias, TypeVar
from uuid import UUID

from pydantic import BaseModel, JsonValue

from batchyard_contracts.workload.rate_limit_headers import MAX_PAUSE_S, RemainingCalls, remaining_calls

ItemT = TypeVar("ItemT", bound=BaseModel)
ResultT = TypeVar("ResultT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Continuation:
    """Return value of a handler whose work goes on elsewhere.

    The handler runs again after `delay_s` seconds with this `state`, which is stored durably.
    """

    state: JsonValue
    delay_s: float
    progress: float | None = None
    """Completed share of the item, from 0 to 1, which is part of the batch's progress; None: unknown."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """Return value of a source: items of the workload.

    With a `state`, which is stored durably, the function runs again to find more. Without it these items are the last,
    and `result` is the result of the source.
    """

    items: Sequence[BaseModel]
    result: BaseModel | JsonValue = None
    state: JsonValue = None
    units: int | None = None
    """Number of units of all items, set with the last ones if the workload has a `unit`."""


@dataclass(slots=True)  # not frozen: one is made for every item, and freezing would triple its cost
class Context:
    """Context of a run: everything that a handler knows of its item beside the payload. Handlers do not change it."""

    batch_id: UUID
    ordinal: int
    round: int
    attempt: int
    partition: str
    resources: Any = None
    """Resources that the workload's `lifespan` opened for this worker, such as an HTTP session or a pool. None with
    `cpu_bound`: a handler process keeps its resources in its module."""
    state: JsonValue = None
    """State that the last run returned with `Continuation`."""
    stop_event: Event | None = None
    """Event that is set when an item in a thread was cancelled or timed out, since a thread cannot be interrupted."""
    rerun: bool = False
    """True: an earlier run may have been cut off, because its worker stopped or was lost. A handler with side effects
    checks first which of them have happened."""
    on_remaining: Callable[[RemainingCalls], None] | None = None
    """Callback for remaining calls; None: they are not observed."""
    owner: str = ""
    """Owner of the batch. Empty in tests of a handler alone."""

    def report_remaining(self, calls: int, reset_s: float) -> None:
        """Report that the destination accepts `calls` more calls within the next `reset_s` seconds.

        With 0, no further item of the partition starts until then. The last report counts. It has no effect in a
        `cpu_bound` handler.
        """
        if self.on_remaining is not None and calls >= 0 and 0 < reset_s < math.inf:
            self.on_remaining(RemainingCalls(calls, min(reset_s, MAX_PAUSE_S)))

    def report_headers(self, headers: Mapping[str, str], now: datetime | None = None) -> None:
        """Report the remaining calls that the headers of an HTTP response of any status state.

        `batchyard_contracts.workload.rate_limit_headers` lists the headers.
        """
        if self.on_remaining is not None and (left := remaining_calls(headers, now or datetime.now(UTC))):
            self.on_remaining(left)

    @property
    def is_stopping(self) -> bool:
        """True once the result of a run in a thread is no longer needed, so that the handler should return."""
        return self.stop_event is not None and self.stop_event.is_set()

    @property
    def idempotency_key(self) -> str:
        """Key that is equal in all runs of this item in this round, for calls that must not happen twice."""
        return f"{self.batch_id}:{self.ordinal}:{self.round}"


HandlerResult: TypeAlias = ResultT | Continuation | Exception
"""Return value of a chunk handler for one item."""
AsyncHandler = Callable[[ItemT, Context], Awaitable[ResultT | Continuation]]
SyncHandler = Callable[[ItemT, Context], ResultT | Continuation]
AsyncChunkHandler = Callable[[list[ItemT], list[Context]], Awaitable[Sequence[HandlerResult[ResultT]]]]
SyncChunkHandler = Callable[[list[ItemT], list[Context]], Sequence[HandlerResult[ResultT]]]
Place = Literal["loop", "thread", "process"]


@dataclass(frozen=True, slots=True)
class SourceDefinition:
    """Definition of a workload's source: its function, and the model of its input."""

    function: Callable[[Any, Context], Coroutine[Any, Any, Expansion | Continuation]]
    model: type[BaseModel]


@dataclass(frozen=True, slots=True)
class QuestionContext:
    """Context of a question: everything that its function knows beside the request."""

    resources: Any = None
    """Resources that the workload's `lifespan` opened for this worker."""


@dataclass(frozen=True, slots=True)
class QuestionDefinition:
    """Definition of a question: its function, the models of its request and its answer, and its time limit."""

    function: Callable[[Any, QuestionContext], Awaitable[BaseModel]]
    request: type[BaseModel]
    answer: type[BaseModel]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class HandlerDefinition:
    """Definition of a workload's handler: its function, its place of execution, and items or whole chunks."""

    function: Callable[..., Any]
    place: Place
    whole_chunk: bool = False


def place_of(function: Callable[..., Any], cpu_bound: bool) -> Place:
    """Place of execution of a handler; raises `TypeError` for a `cpu_bound` one that cannot run in a process."""

    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
    if not cpu_bound:
        return "loop" if is_async else "thread"
    if is_async:
        raise TypeError(
            "A cpu_bound handler is a plain `def`: it has a process of its own, and nothing to await there."
        )
    if "<" in getattr(function, "__qualname__", "<"):
        raise TypeError("A cpu_bound handler is defined at the top of a module: its process imports it by name.")
    return "process"
