"""How a workload is written: one object that names its item, its result and its handler.

    class Item(BaseModel):
        n: int

    class Squared(BaseModel):
        n: int

    squares = Workload("squares", version="1", item=Item, result=Squared)

    @squares.handler
    async def run(item: Item, context: Context) -> Squared:
        return Squared(n=item.n * item.n)

A handler returns a result, returns `Continue` when the work runs elsewhere and is to be asked for later, or raises:

    WorkloadError
     +- Permanent     this input can never succeed: the item fails
     +- Transient     may succeed later: retried with exponential backoff, uses up an attempt
     +- RateLimited   the destination said when: retried then, uses up no attempt
     +- Ambiguous     a paid call may or may not have happened: fails as `needs_review`, never repeated by itself

Any other exception is a `Transient` with the code `internal_error`.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, JsonValue

from batchyard_contracts.v1.manifest import Manifest, Partition, Pointer, TextExport
from batchyard_contracts.v1.values import Rate, RetryRule

ItemT = TypeVar("ItemT", bound=BaseModel)
ResultT = TypeVar("ResultT", bound=BaseModel)
Scope = Literal["item", "provider"]
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


class Ambiguous(WorkloadError):
    """A call that must not happen twice may have happened; a person has to look."""

    def __init__(self, message: str = "") -> None:
        super().__init__("needs_review", message)


@dataclass(frozen=True, slots=True)
class Continue:
    """The work runs elsewhere: run the handler again in `delay_s` seconds with this `state`, which is kept durably."""

    state: JsonValue
    delay_s: float


@dataclass(slots=True)  # not frozen: one is made for every item, and freezing would triple its cost
class Context:
    """What a handler may know of its item beside the payload; to be read only."""

    batch_id: UUID
    ordinal: int
    round: int
    attempt: int
    partition: str
    resources: Any = None
    """What the workload's `lifespan` opened for this worker: an HTTP session, a pool."""
    state: JsonValue = None
    """What the last run returned with `Continue`."""

    @property
    def idempotency_key(self) -> str:
        """The same for every run of this item in this round: hand it on to calls that must not happen twice."""
        return f"{self.batch_id}:{self.ordinal}:{self.round}"


Handler = Callable[[ItemT, Context], Awaitable[ResultT | Continue]]


class Workload(Generic[ItemT, ResultT]):
    """A workload: what it takes, what it gives, how it is to be paced, and its handler.

    `lifespan` opens what all runs of one worker share; the other settings are those of `Manifest`.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str,
        item: type[ItemT],
        result: type[ResultT],
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
        title: str = "",
        description: str = "",
        partition: Partition | None = None,
        dedup: Pointer | None = None,
        concurrency: int = 10,
        chunk_max: int = 100,
        chunk_target_s: float = 1.0,
        item_timeout_s: float = 60.0,
        rate: Rate | None = None,
        rates: dict[str, Rate] | None = None,
        partition_concurrency: int | None = None,
        retry: dict[str, RetryRule] | None = None,
        cache_ttl_s: int = 0,
        exports: dict[str, TextExport] | None = None,
        example: dict[str, Any] | None = None,
    ) -> None:
        self.item = item
        self.result = result
        self.lifespan = lifespan
        self._handler: Handler[ItemT, ResultT] | None = None
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
            chunk_target_s=chunk_target_s,
            item_timeout_s=item_timeout_s,
            rate=rate,
            rates=rates or {},
            partition_concurrency=partition_concurrency,
            retry=retry or {},
            cache_ttl_s=cache_ttl_s,
            exports=exports or {},
            example=example or {},
        )

    @property
    def name(self) -> str:
        """The name under which batches ask for it."""
        return self.manifest.name

    def handler(self, function: Handler[ItemT, ResultT]) -> Handler[ItemT, ResultT]:
        """Decorate the coroutine function that runs one item."""
        self._handler = function
        return function

    async def run(self, item: ItemT, context: Context) -> ResultT | Continue:
        """Run the handler on one item."""
        if self._handler is None:
            raise TypeError(f"workload {self.name!r} has no handler: decorate one with @{self.name}.handler")
        return await self._handler(item, context)
