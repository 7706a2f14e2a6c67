"""The summary of a round: its limits, and the timeouts and retries of its requests."""

from dataclasses import dataclass

from pydantic import JsonValue
from pydantic_core import to_json

from batchyard_contracts.v1.values import SUMMARY_MAX_BYTES, Counts
from batchyard_contracts.v1.work import SummaryRequested
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.outcome_rows import strip_control_characters

_ITEMS_PER_S = 1000
"""Results that even a busy worker reads per second."""
_MAX_TIMEOUT_S = 1500.0
"""Longest timeout; below the half hour after which the broker takes an unacknowledged message back."""
_MARGIN_S = 15.0
_RECHECK_S = 20.0
"""Seconds after which a worker that was killed or is cut off no longer counts as alive: twice the dispatcher's ten."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary that the workload made of a round's results, or the reason why there is none."""

    value: JsonValue = None
    error: str | None = None

    @classmethod
    def received(cls, value: JsonValue, error: str | None) -> "Summary":
        """Build a summary from a worker's message, within its limits."""
        if error is not None:
            return cls(error=strip_control_characters(error))
        size = len(to_json(value))
        if size > SUMMARY_MAX_BYTES:
            return cls(error=f"The summary has {size} bytes of JSON; at most {SUMMARY_MAX_BYTES} are kept.")
        return cls(value)


NO_SUMMARY = Summary()
"""Summary of a batch that has none, or none yet."""
ENDED_WITHOUT = Summary(error="An operator ended the batch before its summary was made.")


@dataclass(frozen=True, slots=True)
class SummaryRetryPolicy:
    """Number of summary requests, and the worker's time for each: `base_timeout_s` plus 1 s per 1,000 results."""

    max_attempts: int
    base_timeout_s: float

    def timeout_s(self, batch: Batch) -> float:
        """Return the worker's time for one request."""
        return min(_MAX_TIMEOUT_S, self.base_timeout_s + batch.counters.succeeded / _ITEMS_PER_S)

    def retry_after_s(self, batch: Batch, *, has_worker: bool = True) -> float:
        """Return the time after which a request is considered lost. The first one that finds no worker is looked at
        again soon, since the workload may make no summary any more."""
        wait_s = self.timeout_s(batch) + _MARGIN_S
        return wait_s if has_worker or batch.summary_requests else min(wait_s, _RECHECK_S)

    def is_exhausted(self, batch: Batch) -> bool:
        """Tell whether all requests have been sent."""
        return batch.summary_requests >= self.max_attempts

    def missing_summary(self, batch: Batch) -> Summary:
        """Return the error that is recorded when no request was answered."""
        workload = batch.header.workload if batch.header else ""
        return Summary(
            error=f"No worker made the summary of {workload}, although it was requested {self.max_attempts} times, "
            f"{self.retry_after_s(batch):.0f} s each. Check that workers for {workload} run, and the dead "
            f"letters of work.{workload}.summary."
        )


def no_summary_any_more(workload: str) -> Summary:
    """Return the error that is recorded when workers run the workload, and none of them makes its summary."""
    return Summary(
        error=f"Workers run {workload}, and none of them makes its summary any more. Run its items again by a version "
        "that makes one, if you need it."
    )


def summary_request(batch: Batch, counts: Counts, timeout_s: float) -> SummaryRequested:
    """Return the request for a summary; raise `ValueError` while the batch's header is unknown."""
    if batch.header is None:
        raise ValueError(f"the header of batch {batch.batch_id} is not known")
    return SummaryRequested(
        batch_id=batch.batch_id,
        owner=batch.header.owner,
        workload=batch.header.workload,
        round=batch.round,
        counts=counts,
        has_source=batch.header.has_source or None,
        timeout_s=timeout_s,
    )
