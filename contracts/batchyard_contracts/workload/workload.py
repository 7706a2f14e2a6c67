"""Workload API: an object that names the item, the result and the handler of a workload.

    class Item(BaseModel):
        n: int

    class Squared(BaseModel):
        n: int

    squares = Workload("squares", version="1", item=Item, result=Squared)

    @squares.handler
    async def run(item: Item, context: Context) -> Squared:
        return Squared(n=item.n * item.n)

A decorator defines the handler:

    @squares.handler                        async def: runs on the worker's event loop, beside many others
    @squares.handler                        def: runs in a thread of its own
    @squares.handler(cpu_bound=True)        def: runs in a process of its own, whose crash does not harm the worker
    @squares.chunk_handler                  any of these, for a whole chunk: it receives a list of items and a list of
                                            contexts, and returns a list with one result for each item, in order

A handler returns a result, returns a `Continuation` if its work goes on elsewhere, or raises one of these errors. A
chunk handler may also return an error as the result of an item; an error that it raises applies to all items.

    WorkloadError
     +- Permanent     the input can never succeed: the item fails
     +- Transient     the item may succeed later: it is retried with exponential backoff, which uses up an attempt
     +- RateLimited   the destination asked for a pause: the item is retried after it, which uses up no attempt
     +- Ambiguous     a paid call may have happened: the item fails as `needs_review`, and is not repeated

Any other exception counts as `Transient` with the code `internal_error`; in a run that is not `repeatable` it counts as
`Ambiguous`, as do a time-out, an interruption and the loss of the worker.

A class decorated with `@squares.summary` makes one summary of all results of a batch: see `reducer`.

A second function finds the items of batches that are submitted with a source in place of items:

    @squares.source(Numbers)                async def: receives the batch's source, returns `Expansion(items)`

It runs as item 0 of the batch, under the rules that apply to all items. It may run twice, and must find equal items
then.

A worker also answers questions at once, without a batch:

    @squares.question("root", request=Root, answer=Rooted)      async def: receives a request and a `QuestionContext`
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
    Question,
    RecordsExport,
    TextExport,
    Unit,
)
from batchyard_contracts.v1.values import Rate, RetryRule
from batchyard_contracts.workload.handlers import (
    AsyncChunkHandler,
    AsyncHandler,
    Context,
    Continuation,
    Expansion,
    HandlerDefinition,
    ItemT,
    QuestionContext,
    QuestionDefinition,
    ResultT,
    SourceDefinition,
    SyncChunkHandler,
    SyncHandler,
    place_of,
)
from batchyard_contracts.workload.rate_limit_headers import pause_s
from batchyard_contracts.workload.reducer import Reducer, SummaryDefinition, model_of

Scope = Literal["item", "provider"]
_ReducerT = TypeVar("_ReducerT", bound=Reducer[Any])
SourceT = TypeVar("SourceT", bound=BaseModel)
SourceHandler = Callable[[SourceT, Context], Coroutine[Any, Any, Expansion | Continuation]]
RequestT = TypeVar("RequestT", bound=BaseModel)
AnswerT = TypeVar("AnswerT", bound=BaseModel)
QuestionHandler = Callable[[RequestT, QuestionContext], Coroutine[Any, Any, AnswerT]]
_CODE = re.compile(r"[a-z][a-z0-9_.]{0,63}")


class WorkloadError(Exception):
    """Base of the errors that a handler raises.

    `code` is in lower case with underscores, and does not change for one kind of error; a code of another form becomes
    `invalid_error_code`, and is quoted in the message. `scope="provider"` states that the error affects every item of
    the destination.
    """

    def __init__(self, code: str, message: str = "", *, scope: Scope = "item") -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            message = f"The error code {code!r} does not match {_CODE.pattern}. {message}".rstrip()
            code = "invalid_error_code"
        super().__init__(message or code)
        self.code = code
        self.message = message
        self.scope: Scope = scope


class Permanent(WorkloadError):
    """Error of an input that can never succeed."""


class Transient(WorkloadError):
    """Error of an item that may succeed later."""


class RateLimited(WorkloadError):
    """Request of the destination for a pause of `delay_s` seconds; None: it stated no duration."""

    def __init__(self, delay_s: float | None = None, message: str = "", *, code: str = "rate_limited") -> None:
        super().__init__(code, message, scope="provider")
        self.delay_s = delay_s

    @classmethod
    def from_headers(
        cls, headers: Mapping[str, str], message: str = "", *, code: str = "rate_limited", now: datetime | None = None
    ) -> "RateLimited":
        """Create the error from the headers of an HTTP response, with a pause of at most a day.

        `batchyard_contracts.workload.rate_limit_headers` lists the headers, such as `Retry-After` and `RateLimit`.
        """
        return cls(pause_s(headers, now or datetime.now(UTC)), message, code=code)


class Ambiguous(WorkloadError):
    """Error after which a call that must not happen twice may have happened; a person has to check."""

    def __init__(self, message: str = "") -> None:
        super().__init__("needs_review", message)


class Workload(Generic[ItemT, ResultT]):
    """Workload: the models of its items and results, its settings, and its handler.

    `lifespan` opens the resources that all runs of a worker share. `unavailable` is called when a worker starts: it
    returns a text that names the missing setting, never its value, and then the workload does not run there; or None.
    `variant` returns the settings on which results depend, without secrets: cached results of another variant are not
    reused. `repeatable` may be a function of an item and its context, which returns False for a run that must not be
    repeated when its end is unknown. The other parameters are those of `Manifest`.
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
        self._handler_definition: HandlerDefinition | None = None
        self._max_items = max_items
        self.external_cancel_handler: Callable[[ItemT, Context], Awaitable[None]] | None = None
        """Function that cancels the external work of an item whose batch was stopped; see `external_cancel`."""
        self.summary_definition: SummaryDefinition[ResultT] | None = None
        """Definition of its summary; None: it makes none."""
        self.source_definition: SourceDefinition | None = None
        """Definition of its source; None: its batches are submitted with items."""
        self.question_definitions: dict[str, QuestionDefinition] = {}
        """Definitions of its questions, by name."""
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
        """Name by which batches refer to the workload."""
        return self.manifest.name

    def announcement(self) -> Manifest:
        """Manifest that a worker announces, with the worker's settings applied."""
        variant = self._variant()
        version = f"{self.manifest.version}+{variant}" if variant else self.manifest.version
        applied = {"unavailable": self._unavailable(), "version": version, "max_items": self._max_items()}
        return self.manifest.model_copy(update=applied)

    def external_cancel(self, function: Callable[[ItemT, Context], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Decorate the function that cancels external work: `async def`.

        It is called when a batch was cancelled or has expired, once for each item that had returned a `Continuation`,
        with the item and that state. It may take 30 seconds, and is not repeated.
        """
        self.external_cancel_handler = function
        self.manifest = self.manifest.model_copy(update={"external_cancel": True})
        return function

    def is_repeatable(self, item: ItemT, context: Context) -> bool:
        """True if a run may be repeated when its end is unknown."""
        return self.manifest.repeatable if self._repeatable is None else bool(self._repeatable(item, context))

    @property
    def handler_definition(self) -> HandlerDefinition:
        """Definition of its handler; raises `TypeError` if no function was decorated."""
        if self._handler_definition is None:
            raise TypeError(f"Workload {self.name!r} has no handler: decorate a function with @….handler.")
        return self._handler_definition

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
        """Decorate the function that runs a whole chunk.

        It receives a list of items and a list of contexts, and returns as many values in the same order, each a result,
        a `Continuation` or an exception. `item_timeout_s` then applies to one call, and `concurrency` counts calls.
        """
        return self._decorate(function, cpu_bound, whole_chunk=True)

    def summary(self, reducer: type[_ReducerT], /) -> type[_ReducerT]:
        """Decorate the class that makes a summary of a batch: a `Reducer` whose constructor has no parameters.

        It runs once at the end of each round in which an item succeeded. Raises `TypeError` if the class is no reducer.
        """
        if self.summary_definition is not None:
            raise TypeError(f"Workload {self.name!r} has two summaries; it takes one.")
        model = model_of(reducer)
        self.summary_definition = SummaryDefinition(reducer, model)
        schema = model.model_json_schema(mode="serialization")
        self.manifest = self.manifest.model_copy(update={"summary_schema": schema})
        return reducer

    def source(
        self, model: type[SourceT], *, example: dict[str, Any] | None = None
    ) -> Callable[[SourceHandler[SourceT]], SourceHandler[SourceT]]:
        """Decorate the function that finds the items of a batch by its source: `async def`."""

        def decorate(function: SourceHandler[SourceT]) -> SourceHandler[SourceT]:
            if self.source_definition is not None:
                raise TypeError(f"Workload {self.name!r} has two sources; it takes one.")
            if not inspect.iscoroutinefunction(function):
                raise TypeError("A source is an `async def`: it waits for others, and is run next to many items.")
            self.source_definition = SourceDefinition(function, model)
            fields = {"source_schema": model.model_json_schema(), "source_example": example or {}}
            self.manifest = self.manifest.model_copy(update=fields)
            return function

        return decorate

    def question(
        self,
        name: str,
        *,
        request: type[RequestT],
        answer: type[AnswerT],
        timeout_s: float = 5.0,
        description: str = "",
        example: dict[str, Any] | None = None,
    ) -> Callable[[QuestionHandler[RequestT, AnswerT]], QuestionHandler[RequestT, AnswerT]]:
        """Decorate the function that answers a question: `async def`.

        It runs on the worker's event loop beside the items, for at most `timeout_s` seconds, and may raise the errors
        that a handler may raise. It is not repeated.
        """

        def decorate(function: QuestionHandler[RequestT, AnswerT]) -> QuestionHandler[RequestT, AnswerT]:
            if name in self.question_definitions:
                raise TypeError(f"Workload {self.name!r} has two questions {name!r}.")
            if not inspect.iscoroutinefunction(function):
                raise TypeError("The function of a question is an `async def`: it runs next to many items.")
            question = Question(
                description=description,
                request_schema=request.model_json_schema(),
                answer_schema=answer.model_json_schema(mode="serialization"),
                timeout_s=timeout_s,
                example=example or {},
            )
            self.question_definitions[name] = QuestionDefinition(function, request, answer, timeout_s)
            questions = {**self.manifest.questions, name: question}
            self.manifest = Manifest.model_validate({**dict(self.manifest), "questions": questions})
            return function

        return decorate

    async def run(self, item: ItemT, context: Context) -> ResultT | Continuation:
        """Run the handler on one item, in tests of a workload. A plain `def` is called in this thread."""
        handler = self.handler_definition
        result = handler.function([item], [context]) if handler.whole_chunk else handler.function(item, context)
        if handler.place == "loop":
            result = await result
        if not handler.whole_chunk:
            return cast("ResultT | Continuation", result)
        (result,) = result
        if isinstance(result, Exception):
            raise result
        return cast("ResultT | Continuation", result)

    def _decorate(self, function: Callable[..., Any] | None, cpu_bound: bool, *, whole_chunk: bool) -> Any:
        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            if self._handler_definition is not None:
                raise TypeError(f"Workload {self.name!r} has two handlers; it takes one.")
            self._handler_definition = HandlerDefinition(function, place_of(function, cpu_bound), whole_chunk)

            self.manifest = self.manifest.model_copy(update={"whole_chunks": whole_chunk})
            return function

        return decorate if function is None else decorate(function)
