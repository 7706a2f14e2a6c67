"""Manifest of a workload: the data by which the services handle its items."""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, StringConstraints

from batchyard_contracts.message import Value
from batchyard_contracts.v1.values import (
    MAX_CONCURRENCY,
    MAX_ITEMS_PER_BATCH,
    MAX_SECONDS,
    Networks,
    PerSecond,
    Rate,
    RetryRule,
    RetryRules,
    Seconds,
    UnitName,
    Version,
    WorkloadName,
)

Pointer = Annotated[str, StringConstraints(pattern=r"^(/([^~/]|~0|~1)*)*$", max_length=500)]
"""JSON Pointer (RFC 6901) into an item's payload or into a result."""


Description = Annotated[str, StringConstraints(max_length=10_000)]
Duration = Annotated[float, Field(ge=0.001, le=86_400)]
"""Time span in seconds, up to a day."""
RatesByPartition = Annotated[dict[Annotated[str, StringConstraints(max_length=255)], Rate], Field(max_length=1000)]
ExportName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]

QuestionName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,47}$")]

MAX_QUESTION_S = 30
"""Largest number of seconds that a question may take."""

FIRST_LIMIT = "partition"
"""Name of the limit that a manifest states by `partition`, `rate`, `rates`, `partition_concurrency`, `adaptive`."""


class Partition(Value):
    """Rule that finds the destination of an item: the value at `pointer`, or the host of the URL at `pointer`."""

    pointer: Pointer
    by: Literal["value", "host"] = "value"


class Adaptive(Value):
    """Adaptive rate in items a second, which follows its destination between `floor` and `ceiling`.

    It begins with the rate that was learned last, else with `start`, else with `floor`.
    """

    floor: PerSecond
    ceiling: PerSecond
    start: PerSecond | None = None


class Limit(Value):
    """Additional limit that applies to each value at `partition`, or without `partition` to the whole workload."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    partition: Partition | None = None
    rate: Rate | None = None
    rates: RatesByPartition = {}
    concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)] | None = None
    adaptive: Adaptive | None = None

    def rate_of(self, value: str) -> Rate | None:
        """Rate of one partition of the limit; None: unlimited."""
        return self.rates.get(value, self.rate)


class CircuitRule(Value):
    """Rule of the circuit breaker: a single item probes a refusing provider after a pause that doubles each time.

    All times are in seconds.
    """

    base_s: Duration = 5.0
    cap_s: Duration = 300.0
    give_up_s: Seconds = 900.0
    """Seconds of continuous refusal after which the provider's items fail."""
    partitions: Annotated[list[Annotated[str, Field(max_length=255)]], Field(max_length=100)] = []
    """Values of the workload's partition that have a circuit; empty: all have one."""

    def has_circuit(self, value: str) -> bool:
        """True if the provider of this value has a circuit."""
        return not self.partitions or value in self.partitions


class TextExport(Value):
    """Export format that takes one text, or a list of texts, from each result."""

    content: Pointer
    filename: Pointer
    suffix: Annotated[str, StringConstraints(pattern=r"^\.[a-z0-9]{1,10}$")]
    media_type: Annotated[str, StringConstraints(pattern=r"^[a-z]+/[a-z0-9.+-]{1,100}$", max_length=127)] = "text/plain"


class Unit(Value):
    """Unit that items consist of, such as records, in which progress is reported too."""

    name: UnitName
    count: Pointer
    """Pointer to the number of units in a result."""


class RecordsExport(Value):
    """Export formats `records` and `records-csv`: the records that results list, each id once."""

    records: Pointer
    """Pointer to the list of records in a result."""
    id: Pointer
    """Pointer to the id in a record."""


class Question(Value):
    """Question to a workload that a worker answers at once: the schemas of its request and of its answer."""

    description: Description = ""
    request_schema: dict[str, JsonValue]
    answer_schema: dict[str, JsonValue]
    timeout_s: Annotated[float, Field(ge=0.001, le=MAX_QUESTION_S)] = 5.0
    """Seconds within which a worker answers; after that the question fails."""
    example: dict[str, Any] = {}
    """Example of a valid request."""


class Refusal(Value):
    """Schema of items that cannot run with the workers' settings, so that ingest rejects them, and the reason."""

    item_schema: dict[str, JsonValue]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    """Reason, and the workers' setting that changes it."""


class Egress(Value):
    """Bounds of the addresses that items name: public ones on the ports 80 and 443, and `networks` on any port. Ingest
    rejects items that can never be run by them."""

    pointer: Pointer
    """Pointer to the URL in an item."""
    networks: Networks = []
    setting: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """The workers' setting that allows networks."""


class Manifest(Value):
    """Description of a workload, announced by each worker that runs it."""

    name: WorkloadName
    version: Version
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    description: Description = ""
    item_schema: dict[str, JsonValue]
    result_schema: dict[str, JsonValue]
    checks_results: bool | None = None
    """True: the worker checks each result before it reports it; else the ledger does, by `result_schema`."""
    summary_schema: dict[str, JsonValue] | None = None
    """Schema of the summary that a worker makes when all items of a batch have ended; None: it makes none."""
    partition: Partition | None = None
    dedup: Pointer | None = None
    """Pointer to the value by which items of a batch are deduplicated; the empty pointer compares whole payloads."""
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Number of items that one worker runs at once."""
    whole_chunks: bool = False
    """True: one call runs a whole chunk; `concurrency` counts chunks, and `item_timeout_s` applies to a call."""
    chunk_max: Annotated[int, Field(ge=1, le=10_000)] = 100
    chunk_min: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Initial number of items of a chunk, below which slow items do not shrink it; failing items do. It suits calls
    that hardly take longer for more items."""
    chunk_target_s: Annotated[float, Field(ge=0.001, le=600)] = 1.0
    """Seconds that a chunk should take; its size follows the measured time of an item."""
    item_timeout_s: Duration = 60.0
    """Seconds after which a run is interrupted."""
    rate: Rate | None = None
    """Rate of each partition."""
    rates: RatesByPartition = {}
    """Rates of the partitions named here, in place of `rate`."""
    partition_concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)] | None = None
    """Number of items of one partition that run at once, over all workers."""
    adaptive: Adaptive | None = None
    """Bounds within which the rate of each partition adapts, in place of `rate`; `rates` remain fixed."""
    limits: Annotated[list[Limit], Field(max_length=4)] = []
    """Additional limits; an item is dispatched when all limits permit it."""
    repeatable: bool = True
    """False: some runs must not be repeated when their end is unknown; such items fail as `needs_review`."""
    external_cancel: bool = False
    """True: when a batch is stopped, its external work is cancelled: items that have a state are sent once more, see
    `external_cancel` in `chunk.ready.v1`."""
    max_items: Annotated[int, Field(ge=1, le=MAX_ITEMS_PER_BATCH)] | None = None
    """Largest number of items of a batch; None: the platform's limit applies."""
    circuit: CircuitRule | None = None
    """Rule of the circuit breaker; None: there is none. With it, an error of scope `provider` that is no rate limit
    fails no item, but opens the provider's circuit. It does not suit providers that refuse only some items."""
    retry: RetryRules = {}
    """Retry rules by error code; `default` applies to all others."""
    cache_ttl_s: Annotated[int, Field(ge=0, le=MAX_SECONDS)] = 0
    """Seconds for which a result is reused for an equal payload; 0: never."""
    exports: Annotated[dict[ExportName, TextExport], Field(max_length=20)] = {}
    records: RecordsExport | None = None
    unit: Unit | None = None
    example: dict[str, Any] = {}
    """Example of a valid payload, for documentation and forms."""
    source_schema: dict[str, JsonValue] | None = None
    """Schema of the source that a batch may name in place of items; None: it may not."""
    source_example: dict[str, Any] = {}
    questions: Annotated[dict[QuestionName, Question], Field(max_length=20)] = {}
    """Questions by name."""
    unavailable: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    """Reason why the workload cannot run now, and the workers' setting that changes that; ingest rejects its batches
    with this text. None: it can run."""
    refusals: Annotated[list[Refusal], Field(max_length=10)] = []
    egress: Egress | None = None
    """Bounds of the addresses that items name; None: they name none, or there are no bounds."""

    def retry_rule(self, code: str) -> RetryRule:
        """Retry rule for an error code."""
        return self.retry.get(code) or self.retry.get("default") or RetryRule()

    def all_limits(self) -> tuple[Limit, ...]:
        """All limits; the first is the one by the workload's partition."""
        first = Limit(
            name=FIRST_LIMIT,
            partition=self.partition,
            rate=self.rate,
            rates=self.rates,
            concurrency=self.partition_concurrency,
            adaptive=self.adaptive,
        )
        return (first, *self.limits)
