"""Messages about cached results."""

from typing import Any, ClassVar

from batchyard_contracts.message import Message
from batchyard_contracts.v1.manifest import Pointer
from batchyard_contracts.v1.values import Count, Time, Version, WorkloadName


class CacheInvalidated(Message):
    """Order to remove cached results: the result of one payload, or all of the workload. Any worker can carry it
    out."""

    type: ClassVar[str] = "cache.invalidated.v1"
    workload: WorkloadName
    version: Version
    dedup: Pointer | None = None
    cache_ttl_s: Count
    payload: Any = None
    at: Time
