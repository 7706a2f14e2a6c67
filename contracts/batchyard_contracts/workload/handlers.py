"""What a handler of a workload is: its forms, where each runs, and what it is told of its item."""

import inspect
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Any, Literal, TypeAlias, TypeVar
from uuid import UUID

from pydantic import BaseModel, JsonValue

from batchyard_contracts.workload.rate_limit_headers import MAX_PAUSE_S, Remaining, remaining

ItemT = TypeVar("ItemT", bound=BaseModel)
ResultT = TypeVar("ResultT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Continue:
    """The work runs elsewhere: run the handler again in `delay_s` seconds with this `state`, which is kept durably."""

    state: JsonValue
    delay_s: float
    progress: float | None = None
    """How far the work is, from 0 to 1, where that is known: it is told to whoever watches the batch."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """What a source came to: items of the workload. With a `state` there are more: the handler is run again with it,
    which is kept durably. Without it these were the last, and `result` is the result of the source."""

    items: Sequence[BaseModel]
    result: BaseModel | JsonValue = None
    state: JsonValue = None
    units: int | None = None
    """With the last ones: of how many units all items are made, where the workload has a `unit`."""


@dataclass(slots=True)  # not frozen: one is made for every item, and freezing would triple its cost
class Context:
    """What a handler may know of its item beside the payload; to be read only."""

    batch_id: UUID
    ordinal: int
    round: int
    attempt: int
    partition: str
    resources: Any = None
    """What the workload's `lifespan` opened for this worker: an HTTP session, a pool. None where `cpu_bound`: a process
    of its own keeps such things in its module."""
    state: JsonValue = None
    """What the last run returned with `Continue`."""
    stop: Event | None = None
    """In a thread: set when the item was cancelled or its time is up. A thread cannot be interrupted from outside."""
    rerun: bool = False
    """An earlier run may have been cut off: a worker that had the item stopped or was lost. Look first whether what
    is to be done has been done."""
    hear: Callable[[Remaining], None] | None = None
    """Who is told what is `remaining`, if anybody is."""

    def remaining(self, calls: int, reset_s: float) -> None:
        """The destination said that it takes so many more calls within these seconds: when none, nothing more of the
        partition starts until then. The last word holds. Where `cpu_bound`, nobody hears it."""
        if self.hear is not None and calls >= 0 and 0 < reset_s < math.inf:
            self.hear(Remaining(calls, min(reset_s, MAX_PAUSE_S)))

    def heed(self, headers: Mapping[str, str], now: datetime | None = None) -> None:
        """The same by an HTTP answer's headers, of whatever status; see `rate_limit_headers`."""
        if self.hear is not None and (left := remaining(headers, now or datetime.now(UTC))):
            self.hear(left)

    @property
    def stopping(self) -> bool:
        """Whether a long run in a thread should end now, because nobody waits for its result any more."""
        return self.stop is not None and self.stop.is_set()

    @property
    def idempotency_key(self) -> str:
        """The same for every run of this item in this round: hand it on to calls that must not happen twice."""
        return f"{self.batch_id}:{self.ordinal}:{self.round}"


Answer: TypeAlias = ResultT | Continue | Exception
"""What a chunk handler returns for one item."""
AsyncHandler = Callable[[ItemT, Context], Awaitable[ResultT | Continue]]
SyncHandler = Callable[[ItemT, Context], ResultT | Continue]
AsyncChunkHandler = Callable[[list[ItemT], list[Context]], Awaitable[Sequence[Answer[ResultT]]]]
SyncChunkHandler = Callable[[list[ItemT], list[Context]], Sequence[Answer[ResultT]]]
Place = Literal["loop", "thread", "process"]


@dataclass(frozen=True, slots=True)
class Sourcing:
    """How a workload's sources are run: by which function, and what it is given."""

    function: Callable[[Any, Context], Coroutine[Any, Any, Expanded | Continue]]
    model: type[BaseModel]


@dataclass(frozen=True, slots=True)
class Handling:
    """How a workload's items are run: by which function, where, and one at a time or a chunk at once."""

    function: Callable[..., Any]
    place: Place
    whole_chunk: bool = False


def place_of(function: Callable[..., Any], cpu_bound: bool) -> Place:
    """Where a handler runs; raises `TypeError` when it cannot run in a process although it is to."""
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
