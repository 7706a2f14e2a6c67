"""The workload interface: all that the author of a workload imports. `workload.py` shows how one is written."""

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
from batchyard_contracts.workload.reducer import ItemInfo, Reducer
from batchyard_contracts.workload.workload import (
    Ambiguous,
    Permanent,
    QuestionHandler,
    RateLimited,
    Scope,
    SourceHandler,
    SourceT,
    Transient,
    Workload,
    WorkloadError,
)

__all__ = [
    "Ambiguous",
    "AsyncChunkHandler",
    "AsyncHandler",
    "Context",
    "Continuation",
    "Expansion",
    "HandlerDefinition",
    "HandlerResult",
    "ItemInfo",
    "Permanent",
    "QuestionContext",
    "QuestionDefinition",
    "QuestionHandler",
    "RateLimited",
    "Reducer",
    "Scope",
    "SourceHandler",
    "SourceT",
    "SyncChunkHandler",
    "SyncHandler",
    "Transient",
    "Workload",
    "WorkloadError",
]
