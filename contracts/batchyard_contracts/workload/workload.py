"""How a workload is written: one object that names its item, its result and its handler.

    class Item(BaseModel):
        n: int

    class Squared(BaseModel):
        n: int

    squares = Workload("squares", version="1", item=Item, result=Squared)

    @squares.handler
    async def run(item: Item, context: Context) -> Squared:
        return Squared(n=item.n * item.n)

A handler is what is decorated:

    @squares.handler                        async def: runs on the worker's event loop, next to many others
    @squares.handler                        def: runs in a thread of its own
    @squares.handler(cpu_bound=True)        def: runs in a process of its own, which may die without harm to the worker
    @squares.chunk_handler                  any of these, for a whole chunk: a list of items and a list of contexts in,
                                            a list with one answer for each item, in order, out

A handler returns a result, returns `Continue` when the work runs elsewhere and is to be asked for later, or raises
(a chunk handler may also return the error in the place of an item; what it raises counts for all of them):

    WorkloadError
     +- Permanent     this input can never succeed: the item fails
     +- Transient     may succeed later: retried with exponential backoff, uses up an attempt
     +- RateLimited   the destination said when: retried then, uses up no attempt
     +- Ambiguous     a paid call may or may not have happened: fails as `needs_review`, never repeated by itself

Any other exception is a `Transient` with the code `internal_error`; in a run that is not `repeatable` it is an
`Ambiguous`, as are a time-out, an interruption and the loss of the worker.

A class decorated with `@squares.summary` makes one summary of all results of a batch: see `reducer`.

Where the items of a batch are to be found rather than handed in, a second function finds them:

    @squares.source(Numbers)                async def: is given the batch's source, returns `Expanded(items)`

It runs as the first item of the batch, with everything that holds for items. It may run twice, and is to find the same
items then.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar, cast, overload

from pydantic import BaseModel

from batchyard_contracts.v1.manifest import (
    Adaptive,
    CircuitRule,
    Limit,
    Manifest,
    Partition,
    Pointer,
    RecordsExport,
    TextExport,
    Unit,
)
from batchyard_contracts.v1.values import Rate, RetryRule
from batchyard_contracts.workload.handlers import (
    AsyncChunkHandler,
    AsyncHandler,
    Context,
    Continue,
    Expanded,
    Handling,
    ItemT,
    ResultT,
    Sourcing,
    SyncChunkHandler,
    SyncHandler,
    place_of,
)
from batchyard_contracts.workload.rate_limit_headers import pause_s
from batchyard_contracts.workload.reducer import Reducer, Summarizing, model_of

Scope = Literal["item", "provider"]
_ReducerT = TypeVar("_ReducerT", bound=Reducer[Any])
SourceT = TypeVar("SourceT", bound=BaseModel)
SourceHandler = Callable[[SourceT, Context], Coroutine[Any, Any, Expanded | Continue]]
_CODE = re.compile(r"[a-z][a-z0-9_.]{0,63}")


class WorkloadError(Exception):
    """What a handler raises to say how its item ended. `code` is lower case with underscores, and stays the same
    for the same cause; `scope="provider"` says that every item of this destination would fare alike.

    A code of another form becomes `invalid_error_code`, with what was given in the message."""

    def __init__(self, code: str, message: str = "", *, scope: Scope = "item") -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            message = f"The error code {code!r} does not match {_CODE.pattern}. {message}".rstrip()
            code = "invalid_error_code"
        super().__init__(message or code)
        self.code = code
        self.message = message
        self.scope: Scope = scope


class Permanent(WorkloadError):
    """This input can never succeed."""


class Transient(WorkloadError):
    """It may succeed later."""


class RateLimited(WorkloadError):
    """The destination asked for a pause of `delay_s` seconds; None: it did not say for how long."""

    def __init__(self, delay_s: float | None = None, message: str = "", *, code: str = "rate_limited") -> None:
        super().__init__(code, message, scope="provider")
        self.delay_s = delay_s

    @classmethod
    def from_headers(
        cls, headers: Mapping[str, str], message: str = "", *, code: str = "rate_limited", now: datetime | None = None
    ) -> "RateLimited":
        """For as long as an HTTP answer's headers ask for, at most a day: `Retry-After`, `retry-after-ms`, `RateLimit`
        and its forerunners, see `batchyard_contracts.workload.rate_limit_headers`."""
        return cls(pause_s(headers, now or datetime.now(UTC)), message, code=code)


class Ambiguous(WorkloadError):
    """A call that must not happen twice may have happened; a person has to look."""

    def __init__(self, message: str = "") -> None:
        super().__init__("needs_review", message)


class Workload(Generic[ItemT, ResultT]):
    """A workload: what it takes, what it gives, how it is to be paced, and its handler.

    `lifespan` opens what all runs of one worker share. `unavailable` is asked when a worker starts: a text says what is
    missing (the name of a setting, never its value), and then nothing of the workload runs there. `variant` names the
    settings that results depend on, without secrets: results that are known from another one are made anew.
    `repeatable` may be a function of an item and its context: False for a run that must not be repeated when nobody
    knows how it ended. The other settings are those of `Manifest`.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str,
        item: type[ItemT],
        result: type[ResultT],
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
        unavailable: Callable[[], str | None] = lambda: None,
        variant: Callable[[], str] = lambda: "",
        title: str = "",
        description: str = "",
        partition: Partition | None = None,
        dedup: Pointer | None = None,
        concurrency: int = 10,
        chunk_max: int = 100,
        chunk_min: int = 1,
        chunk_target_s: float = 1.0,
        item_timeout_s: float = 60.0,
        rate: Rate | None = None,
        rates: dict[str, Rate] | None = None,
        partition_concurrency: int | None = None,
        adaptive: Adaptive | None = None,
        limits: Sequence[Limit] = (),
        circuit: CircuitRule | None = None,
        repeatable: bool | Callable[[ItemT, Context], bool] = True,
        max_items: Callable[[], int | None] = lambda: None,
        retry: dict[str, RetryRule] | None = None,
        cache_ttl_s: int = 0,
        exports: dict[str, TextExport] | None = None,
        records: RecordsExport | None = None,
        unit: Unit | None = None,
        example: dict[str, Any] | None = None,
    ) -> None:
        self.item = item
        self.result = result
        self.lifespan = lifespan
        self._unavailable = unavailable
        self._repeatable = repeatable if callable(repeatable) else None
        self._variant = variant
        self._handling: Handling | None = None
        self._max_items = max_items
        self.let_go: Callable[[ItemT, Context], Awaitable[None]] | None = None
        """Lets go of what runs elsewhere for an item that nobody wants any more; see `letting_go`."""
        self.summarizing: Summarizing[ResultT] | None = None
        """How its batches are summarized, if they are."""
        self.sourcing: Sourcing | None = None
        """How sources are expanded; None: its batches have items."""
        self.manifest = Manifest(
            name=name,
            version=version,
            title=title or name,
            description=description,
            item_schema=item.model_json_schema(),
            result_schema=result.model_json_schema(mode="serialization"),
            partition=partition,
            dedup=dedup,
            concurrency=concurrency,
            chunk_max=chunk_max,
            chunk_min=chunk_min,
            chunk_target_s=chunk_target_s,
            item_timeout_s=item_timeout_s,
            rate=rate,
            rates=rates or {},
            partition_concurrency=partition_concurrency,
            adaptive=adaptive,
            limits=list(limits),
            circuit=circuit,
            repeatable=repeatable is True,
            retry=retry or {},
            cache_ttl_s=cache_ttl_s,
            exports=exports or {},
            records=records,
            unit=unit,
            example=example or {},
        )

    @property
    def name(self) -> str:
        """The name under which batches ask for it."""
        return self.manifest.name

    def announced(self) -> Manifest:
        """The manifest as a worker with the settings at hand announces it."""
        variant = self._variant()
        version = f"{self.manifest.version}+{variant}" if variant else self.manifest.version
        told = {"unavailable": self._unavailable(), "version": version, "max_items": self._max_items()}
        return self.manifest.model_copy(update=told)

    def letting_go(self, function: Callable[[ItemT, Context], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Decorate an `async def` that is called with an item and the state it returned with `Continue`, once its batch
        was cancelled or has expired: let the work elsewhere be stopped. Tried once, for half a minute at most."""
        self.let_go = function
        self.manifest = self.manifest.model_copy(update={"lets_go": True})
        return function

    def may_repeat(self, item: ItemT, context: Context) -> bool:
        """Whether a run may be repeated when nobody knows how it ended."""
        return self.manifest.repeatable if self._repeatable is None else bool(self._repeatable(item, context))

    @property
    def handling(self) -> Handling:
        """How its items are run; raises `TypeError` when nothing was decorated."""
        if self._handling is None:
            raise TypeError(f"Workload {self.name!r} has no handler: decorate a function with @….handler.")
        return self._handling

    @overload
    def handler(self, function: AsyncHandler[ItemT, ResultT], /) -> AsyncHandler[ItemT, ResultT]: ...

    @overload
    def handler(self, function: SyncHandler[ItemT, ResultT], /) -> SyncHandler[ItemT, ResultT]: ...

    @overload
    def handler(
        self, /, *, cpu_bound: Literal[True]
    ) -> Callable[[SyncHandler[ItemT, ResultT]], SyncHandler[ItemT, ResultT]]: ...

    def handler(self, function: Callable[..., Any] | None = None, /, *, cpu_bound: bool = False) -> Any:
        """Decorate the function that runs one item: `async def`, `def`, or `def` with `cpu_bound=True`."""
        return self._decorate(function, cpu_bound, whole_chunk=False)

    @overload
    def chunk_handler(self, function: AsyncChunkHandler[ItemT, ResultT], /) -> AsyncChunkHandler[ItemT, ResultT]: ...

    @overload
    def chunk_handler(self, function: SyncChunkHandler[ItemT, ResultT], /) -> SyncChunkHandler[ItemT, ResultT]: ...

    @overload
    def chunk_handler(
        self, /, *, cpu_bound: Literal[True]
    ) -> Callable[[SyncChunkHandler[ItemT, ResultT]], SyncChunkHandler[ItemT, ResultT]]: ...

    def chunk_handler(self, function: Callable[..., Any] | None = None, /, *, cpu_bound: bool = False) -> Any:
        """Decorate the function that runs a whole chunk: it is given a list of items and a list of contexts, and
        returns as many answers in the same order, each a result, a `Continue` or an exception. `item_timeout_s` is then
        the time of one call, and `concurrency` counts calls."""
        return self._decorate(function, cpu_bound, whole_chunk=True)

    def summary(self, reducer: type[_ReducerT], /) -> type[_ReducerT]:
        """Decorate the class that makes a summary of a batch: without arguments to its constructor, with `add` and
        `done`. It runs once at the end of each round in which something succeeded; raises `TypeError` for a class
        that is none."""
        if self.summarizing is not None:
            raise TypeError(f"Workload {self.name!r} has two summaries; it takes one.")
        model = model_of(reducer)
        self.summarizing = Summarizing(reducer, model)
        schema = model.model_json_schema(mode="serialization")
        self.manifest = self.manifest.model_copy(update={"summary_schema": schema})
        return reducer

    def source(
        self, model: type[SourceT], *, example: dict[str, Any] | None = None
    ) -> Callable[[SourceHandler[SourceT]], SourceHandler[SourceT]]:
        """Decorate the function that finds the items of a batch by its source: `async def`."""

        def decorate(function: SourceHandler[SourceT]) -> SourceHandler[SourceT]:
            if self.sourcing is not None:
                raise TypeError(f"Workload {self.name!r} has two sources; it takes one.")
            if not inspect.iscoroutinefunction(function):
                raise TypeError("A source is an `async def`: it waits for others, and is run next to many items.")
            self.sourcing = Sourcing(function, model)
            told = {"source_schema": model.model_json_schema(), "source_example": example or {}}
            self.manifest = self.manifest.model_copy(update=told)
            return function

        return decorate

    async def run(self, item: ItemT, context: Context) -> ResultT | Continue:
        """Run the handler on one item, for tests of a workload: a plain function is simply called."""
        handling = self.handling
        answer = handling.function([item], [context]) if handling.whole_chunk else handling.function(item, context)
        if handling.place == "loop":
            answer = await answer
        if not handling.whole_chunk:
            return cast("ResultT | Continue", answer)
        (answer,) = answer
        if isinstance(answer, Exception):
            raise answer
        return cast("ResultT | Continue", answer)

    def _decorate(self, function: Callable[..., Any] | None, cpu_bound: bool, *, whole_chunk: bool) -> Any:
        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            if self._handling is not None:
                raise TypeError(f"Workload {self.name!r} has two handlers; it takes one.")
            self._handling = Handling(function, place_of(function, cpu_bound), whole_chunk)
            self.manifest = self.manifest.model_copy(update={"whole_chunks": whole_chunk})
            return function

        return decorate if function is None else decorate(function)
