"""Messages of workers about the summary of a batch."""

from typing import ClassVar

from pydantic import JsonValue

from batchyard_contracts.message import Message
from batchyard_contracts.v1.values import BatchId, Round, SummaryError, WorkerId, WorkloadName


class SummaryCompleted(Message):
    """Reply to `summary.requested.v1`: the summary, or the reason why there is none. The first of a round counts."""

    type: ClassVar[str] = "summary.completed.v1"
    batch_id: BatchId
    workload: WorkloadName
    round: Round
    worker_id: WorkerId
    summary: JsonValue = None
    """Summary of at most `SUMMARY_MAX_BYTES` of JSON; None: see `error`."""
    error: SummaryError | None = None
