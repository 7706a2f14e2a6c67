"""Workload API: an object that names the item, the result and the handler of a workload.

    class Item(BaseModel):
        n: int

    class Squared(BaseModel):
        n: int

    squares = Workload("squares", version="1", item=Item, result=Squared)

    @squares.handler
    async def run(item: Item, context: Context) -> Squared:
        return Squared(n=item.n * item.n)

Options are in groups, such as `limits=Limits(concurrency=20)`: see `options`. A decorator defines the handler:

    @squares.handler                        async def: runs on the worker's event loop, beside many others
    @squares.handler                        def: runs in a thread of its own
    @squares.handler(cpu_bound=True)        def: runs in a process of its own, whose crash does not harm the worker
    @squares.chunk_handler                  any of these, for a whole chunk: it receives a list of items and a list of
                                            contexts, and returns a list with one result for each item, in order

A handler returns a result, returns a `Continuation` if its work goes on elsewhere, or raises one of the errors in
`errors`. A chunk handler may also return an error as the result of an item; an error that it raises applies to all
items.
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
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Generic, Literal, TypeVar, cast, overload

from pydantic import BaseModel

from batchyard_contracts.v1.manifest import Egress, Manifest, Partition, Pointer, Question, Refusal, Unit
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
from batchyard_contracts.workload.options import (
    Caching,
    Chunking,
    Exports,
    Limits,
    Retry,
    check_groups,
    explains_misplaced,
)
from batchyard_contracts.workload.reducer import Reducer, SummaryDefinition, model_of

_ReducerT = TypeVar("_ReducerT", bound=Reducer[Any])
SourceT = TypeVar("SourceT", bound=BaseModel)
SourceHandler = Callable[[SourceT, Context], Coroutine[Any, Any, Expansion | Continuation]]
RequestT = TypeVar("RequestT", bound=BaseModel)
AnswerT = TypeVar("AnswerT", bound=BaseModel)
QuestionHandler = Callable[[RequestT, QuestionContext], Coroutine[Any, Any, AnswerT]]


class Workload(Generic[ItemT, ResultT]):
    """Workload: the models of its items and results, its options, and its handler.

    `lifespan` opens the resources that all runs of a worker share. `unavailable` is called when a worker starts: it
    returns a text that names the missing setting, never its value, and then the workload does not run there; or None.
    `refusals` and `egress` are called then too: they return the items that cannot run with the present settings, and
    the bounds of the addresses that items name.
    `example` is a valid item. `partition` finds the destination of an item, `dedup` the value by which two items are
    the same, and `unit` what progress counts beside items. Further options are in groups: see `options`.
    """

    @explains_misplaced("Workload", "Workload({name}=…)")
    def __init__(
        self,
        name: str,
        *,
        version: str,
        item: type[ItemT],
        result: type[ResultT],
        title: str = "",
        description: str = "",
        example: dict[str, Any] | None = None,
        partition: Partition | None = None,
        dedup: Pointer | None = None,
        unit: Unit | None = None,
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
        unavailable: Callable[[], str | None] = lambda: None,
        refusals: Callable[[], list[Refusal]] = list,
        egress: Callable[[], Egress | None] = lambda: None,
        chunking: Chunking = Chunking(),
        limits: Limits = Limits(),
        retry: Retry = Retry(),
        caching: Caching = Caching(),
        exports: Exports = Exports(),
    ) -> None:
        check_groups(chunking, limits, retry, caching, exports)
        self.item = item
        self.result = result
        self.lifespan = lifespan
        self._unavailable = unavailable
        self._refusals = refusals
        self._egress = egress
        self._repeatable = retry.repeatable if callable(retry.repeatable) else None
        self._variant = caching.variant
        self._handler_definition: HandlerDefinition | None = None
        self._max_items = limits.max_items
        self._adaptive = limits.adaptive if callable(limits.adaptive) else None
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
            checks_results=True,
            example=example or {},
            partition=partition,
            dedup=dedup,
            unit=unit,
            chunk_max=chunking.max,
            chunk_min=chunking.min,
            chunk_target_s=chunking.target_s,
            concurrency=limits.concurrency,
            item_timeout_s=limits.item_timeout_s,
            rate=limits.rate,
            rates=dict(limits.rates),
            partition_concurrency=limits.partition_concurrency,
            adaptive=None if callable(limits.adaptive) else limits.adaptive,
            limits=list(limits.additional),
            retry=dict(retry.rules),
            circuit=retry.circuit,
            repeatable=retry.repeatable is True,
            cache_ttl_s=caching.ttl_s,
            exports=dict(exports.texts),
            records=exports.records,
        )

    @property
    def name(self) -> str:
        """Name by which batches refer to the workload."""
        return self.manifest.name

    def announcement(self) -> Manifest:
        """Manifest that a worker announces, with the worker's settings applied."""
        variant = self._variant()
        version = f"{self.manifest.version}+{variant}" if variant else self.manifest.version
        applied: dict[str, Any] = {
            "unavailable": self._unavailable(),
            "refusals": self._refusals(),
            "egress": self._egress(),
            "version": version,
            "max_items": self._max_items(),
        }
        if self._adaptive is not None:
            applied["adaptive"] = self._adaptive()
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
