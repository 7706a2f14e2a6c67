"""What a workload says of itself: the data by which everybody else handles its items."""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, StringConstraints

from batchyard_contracts.message import Value
from batchyard_contracts.v1.values import Rate, RetryRule, Seconds, WorkloadName

Pointer = Annotated[str, StringConstraints(pattern=r"^(/([^~/]|~0|~1)*)*$", max_length=500)]
"""A JSON Pointer (RFC 6901) into an item's payload or into a result."""


FIRST_LIMIT = "partition"
"""The name of the limit that a manifest states by `partition`, `rate`, `rates`, `partition_concurrency`, `adaptive`."""


class Partition(Value):
    """Which destination an item goes to: the value at `pointer`, or the host of the URL found there."""

    pointer: Pointer
    by: Literal["value", "host"] = "value"


class Adaptive(Value):
    """A rate that follows its destination, within bounds, in items a second. It begins with what was learned last, or
    with `start`, or with the floor."""

    floor: Annotated[float, Field(gt=0, le=1_000_000)]
    ceiling: Annotated[float, Field(gt=0, le=1_000_000)]
    start: Annotated[float, Field(gt=0, le=1_000_000)] | None = None


class Limit(Value):
    """One more limit that items must keep, for each value at `partition`, or for the whole workload without it."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    partition: Partition | None = None
    rate: Rate | None = None
    rates: dict[str, Rate] = {}
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    adaptive: Adaptive | None = None

    def rate_of(self, value: str) -> Rate | None:
        """The pace of one of its partitions, if it has a limit."""
        return self.rates.get(value, self.rate)


class CircuitRule(Value):
    """How long a provider is left alone that refuses everything: one item tries again after a pause that doubles."""

    base_s: Annotated[float, Field(gt=0, le=86_400)] = 5.0
    cap_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    give_up_s: Seconds = 900.0
    """Its items fail when the provider has refused for so long."""
    partitions: Annotated[list[Annotated[str, Field(max_length=255)]], Field(max_length=100)] = []
    """The only values of the workload's partition that have a circuit; empty: all have one."""

    def holds_for(self, value: str) -> bool:
        """Whether the provider of this value has a circuit."""
        return not self.partitions or value in self.partitions


class TextExport(Value):
    """An export format that takes one text, or a list of texts, from each result."""

    content: Pointer
    filename: Pointer
    suffix: Annotated[str, StringConstraints(pattern=r"^\.[a-z0-9]{1,10}$")]
    media_type: str = "text/plain"


class Unit(Value):
    """What an item is made of, so that progress can be told in it."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z ]{0,31}$")]
    """In the plural: `records`."""
    count: Pointer
    """Their number in a result."""


class RecordsExport(Value):
    """The formats `records` and `records-csv`: the records that results list, each id once."""

    records: Pointer
    """The list in a result."""
    id: Pointer
    """What tells records apart, in each of them."""


class Manifest(Value):
    """A workload, announced by each worker that runs it."""

    name: WorkloadName
    version: str
    title: str = ""
    description: str = ""
    item_schema: dict[str, JsonValue]
    result_schema: dict[str, JsonValue]
    summary_schema: dict[str, JsonValue] | None = None
    """Set: when all items of a batch have ended, a worker makes a summary of its results."""
    partition: Partition | None = None
    dedup: Pointer | None = None
    """Two items of a batch with the same value here are one; the empty pointer compares whole payloads."""
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Items that one worker runs at once."""
    whole_chunks: bool = False
    """A chunk is run by one call: `concurrency` counts chunks, and `item_timeout_s` is the time of a call."""
    chunk_max: Annotated[int, Field(ge=1, le=10_000)] = 100
    chunk_min: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Chunks begin with so many items, and do not become smaller for being slow: for calls that hardly take longer when
    they answer for more. When items fail they do become smaller."""
    chunk_target_s: Annotated[float, Field(gt=0, le=600)] = 1.0
    """How long a chunk should take; its size follows the measured time of an item."""
    item_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    rate: Rate | None = None
    """The pace of each partition."""
    rates: dict[str, Rate] = {}
    """The pace of the partitions named here, in place of `rate`."""
    partition_concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Items of one partition that run at once, over all workers."""
    adaptive: Adaptive | None = None
    """The pace of each partition follows its destination, in place of `rate`; `rates` stay as they are."""
    limits: Annotated[list[Limit], Field(max_length=4)] = []
    """Limits beside these: an item goes out when all of them let it."""
    repeatable: bool = True
    """False: there are runs that must not be repeated when nobody knows how they ended; they fail as `needs_review`."""
    lets_go: bool = False
    """Items that go on elsewhere, and have a state, are told of when their batch is stopped: see `abandoned` in
    `chunk.ready.v1`."""
    max_items: Annotated[int, Field(ge=1)] | None = None
    """A batch has no more items."""
    circuit: CircuitRule | None = None
    """Set: an error of scope `provider` that is no rate limit fails no item, but opens its provider's circuit. Not for
    providers that refuse some items so and take others."""
    retry: dict[str, RetryRule] = {}
    """By error code; `default` for every other."""
    cache_ttl_s: Annotated[int, Field(ge=0, le=31_536_000)] = 0
    """How long a result answers the same payload again; 0: never."""
    exports: dict[str, TextExport] = {}
    records: RecordsExport | None = None
    unit: Unit | None = None
    example: dict[str, Any] = {}
    """A payload that works, for documentation and forms."""
    source_schema: dict[str, JsonValue] | None = None
    """Set: a batch may name a source in place of items, and this is what one looks like."""
    source_example: dict[str, Any] = {}
    unavailable: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    """Why none can be taken now, and which setting of the workers changes that: a batch of it is refused so."""

    def retry_rule(self, code: str) -> RetryRule:
        """The rule for an error code."""
        return self.retry.get(code) or self.retry.get("default") or RetryRule()

    def all_limits(self) -> tuple[Limit, ...]:
        """Every limit, the one by the workload's partition first."""
        first = Limit(
            name=FIRST_LIMIT,
            partition=self.partition,
            rate=self.rate,
            rates=self.rates,
            concurrency=self.partition_concurrency,
            adaptive=self.adaptive,
        )
        return (first, *self.limits)
