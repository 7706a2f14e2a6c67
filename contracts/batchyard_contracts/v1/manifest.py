"""What a workload says of itself: the data by which everybody else handles its items."""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, StringConstraints

from batchyard_contracts.message import Value
from batchyard_contracts.v1.values import Rate, RetryRule, WorkloadName

Pointer = Annotated[str, StringConstraints(pattern=r"^(/([^~/]|~0|~1)*)*$", max_length=500)]
"""A JSON Pointer (RFC 6901) into an item's payload or into a result."""


class Partition(Value):
    """Which destination an item goes to: the value at `pointer`, or the host of the URL found there."""

    pointer: Pointer
    by: Literal["value", "host"] = "value"


class TextExport(Value):
    """An export format that takes one text, or a list of texts, from each result."""

    content: Pointer
    filename: Pointer
    suffix: Annotated[str, StringConstraints(pattern=r"^\.[a-z0-9]{1,10}$")]
    media_type: str = "text/plain"


class Manifest(Value):
    """A workload, announced by each worker that runs it."""

    name: WorkloadName
    version: str
    title: str = ""
    description: str = ""
    item_schema: dict[str, JsonValue]
    result_schema: dict[str, JsonValue]
    partition: Partition | None = None
    dedup: Pointer | None = None
    """Two items of a batch with the same value here are one; the empty pointer compares whole payloads."""
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Items that one worker runs at once."""
    whole_chunks: bool = False
    """A chunk is run by one call: `concurrency` counts chunks, and `item_timeout_s` is the time of a call."""
    chunk_max: Annotated[int, Field(ge=1, le=10_000)] = 100
    chunk_target_s: Annotated[float, Field(gt=0, le=600)] = 1.0
    """How long a chunk should take; its size follows the measured time of an item."""
    item_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    rate: Rate | None = None
    """The pace of each partition."""
    rates: dict[str, Rate] = {}
    """The pace of the partitions named here, in place of `rate`."""
    partition_concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Items of one partition that run at once, over all workers."""
    retry: dict[str, RetryRule] = {}
    """By error code; `default` for every other."""
    cache_ttl_s: Annotated[int, Field(ge=0, le=31_536_000)] = 0
    """How long a result answers the same payload again; 0: never."""
    exports: dict[str, TextExport] = {}
    example: dict[str, Any] = {}
    """A payload that works, for documentation and forms."""

    def retry_rule(self, code: str) -> RetryRule:
        """The rule for an error code."""
        return self.retry.get(code) or self.retry.get("default") or RetryRule()

    def rate_of(self, partition: str) -> Rate | None:
        """The pace of one partition, if it has a limit."""
        return self.rates.get(partition, self.rate)
