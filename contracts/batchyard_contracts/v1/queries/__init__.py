"""Queries on the exchange `batchyard.queries`, and their replies. A query names a `reply_to` and a correlation id."""

from batchyard_contracts.v1.queries.batches import (
    BatchesQuery,
    BatchesReply,
    BatchState,
    HeldQuery,
    HeldReply,
    UnheldBatch,
    WaitingBatch,
    WaitingQuery,
    WaitingReply,
    WorkloadCapacity,
)
from batchyard_contracts.v1.queries.deliveries import DeliveriesQuery, DeliveriesReply, DeliveryState
from batchyard_contracts.v1.queries.failed import QueryFailed
from batchyard_contracts.v1.queries.items import ItemsQuery, ItemsReply, StoredItem
from batchyard_contracts.v1.queries.outcomes import (
    FailureGroup,
    FailuresQuery,
    FailuresReply,
    ResultsPage,
    ResultsQuery,
    ResultsReply,
    SelectionQuery,
    SelectionReply,
)
from batchyard_contracts.v1.queries.paging import MAX_ORDINALS, MAX_PAGE, MAX_RESULTS, Cursor
from batchyard_contracts.v1.queries.questions import MAX_QUESTION_BYTES, QuestionError, WorkloadQuery, WorkloadReply
from batchyard_contracts.v1.queries.rates import (
    CallResult,
    LimitsQuery,
    LimitsReply,
    RateHistoryEntry,
    RatesQuery,
    RatesReply,
    RateState,
)
from batchyard_contracts.v1.queries.workers import (
    StartPermitQuery,
    StartPermitReply,
    WorkersQuery,
    WorkersReply,
    WorkerState,
)

__all__ = [
    "MAX_ORDINALS",
    "MAX_PAGE",
    "MAX_QUESTION_BYTES",
    "MAX_RESULTS",
    "BatchState",
    "BatchesQuery",
    "BatchesReply",
    "CallResult",
    "Cursor",
    "DeliveriesQuery",
    "DeliveriesReply",
    "DeliveryState",
    "FailureGroup",
    "FailuresQuery",
    "FailuresReply",
    "HeldQuery",
    "HeldReply",
    "ItemsQuery",
    "ItemsReply",
    "LimitsQuery",
    "LimitsReply",
    "QueryFailed",
    "QuestionError",
    "RateHistoryEntry",
    "RateState",
    "RatesQuery",
    "RatesReply",
    "ResultsPage",
    "ResultsQuery",
    "ResultsReply",
    "SelectionQuery",
    "SelectionReply",
    "StartPermitQuery",
    "StartPermitReply",
    "StoredItem",
    "UnheldBatch",
    "WaitingBatch",
    "WaitingQuery",
    "WaitingReply",
    "WorkerState",
    "WorkersQuery",
    "WorkersReply",
    "WorkloadCapacity",
    "WorkloadQuery",
    "WorkloadReply",
]
