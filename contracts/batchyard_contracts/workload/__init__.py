"""The workload interface: all that the author of a workload imports. `workload.py` shows how one is written."""

from batchyard_contracts.workload.errors import Ambiguous, Permanent, RateLimited, Scope, Transient, WorkloadError
from batchyard_contracts.workload.handlers import (
    AsyncChunkHandler,
    AsyncHandler,
    Context,
    Continuation,
    Expansion,
    HandlerDefinition,
    HandlerResult,
    QuestionContext,
    QuestionDefinition,
    SyncChunkHandler,
    SyncHandler,
)
from batchyard_contracts.workload.options import Caching, Chunking, Exports, Limits, Retry
from batchyard_contracts.workload.reducer import ItemInfo, Reducer
from batchyard_contracts.workload.workload import QuestionHandler, SourceHandler, SourceT, Workload

__all__ = [
    "Ambiguous",
    "AsyncChunkHandler",
    "AsyncHandler",
    "Caching",
    "Chunking",
    "Context",
    "Continuation",
    "Expansion",
    "Exports",
    "HandlerDefinition",
    "HandlerResult",
    "ItemInfo",
    "Limits",
    "Permanent",
    "QuestionContext",
    "QuestionDefinition",
    "QuestionHandler",
    "RateLimited",
    "Reducer",
    "Retry",
    "Scope",
    "SourceHandler",
    "SourceT",
    "SyncChunkHandler",
    "SyncHandler",
    "Transient",
    "Workload",
    "WorkloadError",
]
