"""The summary of a round: what is kept of it, and for how long one is waited for."""

from dataclasses import dataclass

from pydantic import JsonValue
from pydantic_core import to_json

from batchyard_contracts.v1.values import SUMMARY_MAX_BYTES, Counts
from batchyard_contracts.v1.work import SummaryRequested
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.outcome_rows import strip_control_characters

_ITEMS_PER_S = 1000
"""So many results a worker reads in a second, even a busy one."""
_MAX_TIMEOUT_S = 1500.0
"""Below the half hour after which a broker takes an unacknowledged message back."""
_MARGIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What the workload made of the results; or, without it, why there is none."""

    value: JsonValue = None
    error: str | None = None

    @classmethod
    def received(cls, value: JsonValue, error: str | None) -> "Summary":
        """What a worker said, within its limits."""
        if error is not None:
            return cls(error=strip_control_characters(error))
        size = len(to_json(value))
        if size > SUMMARY_MAX_BYTES:
            return cls(error=f"The summary has {size} bytes of JSON; at most {SUMMARY_MAX_BYTES} are kept.")
        return cls(value)


NO_SUMMARY = Summary()
"""Of a batch that has none, or none yet."""


@dataclass(frozen=True, slots=True)
class SummaryRetryPolicy:
    """How often a summary is asked for, and how long a worker has: `base_timeout_s`, and more for many items."""

    max_attempts: int
    base_timeout_s: float

    def timeout_s(self, batch: Batch) -> float:
        """For one try."""
        return min(_MAX_TIMEOUT_S, self.base_timeout_s + batch.counters.succeeded / _ITEMS_PER_S)

    def retry_after_s(self, batch: Batch) -> float:
        """After which nothing is to be expected of a try any more."""
        return self.timeout_s(batch) + _MARGIN_S

    def is_exhausted(self, batch: Batch) -> bool:
        """Whether it was asked for often enough."""
        return batch.summary_requests >= self.max_attempts

    def missing_summary(self, batch: Batch) -> Summary:
        """What is kept then."""
        workload = batch.header.workload if batch.header else ""
        return Summary(
            error=f"No worker made the summary of {workload}, though it was asked for {self.max_attempts} times, "
            f"{self.retry_after_s(batch):.0f} s each. See that workers for {workload} run, and what is in the dead "
            f"letters of work.{workload}.summary."
        )


def summary_request(batch: Batch, counts: Counts, limit_s: float) -> SummaryRequested:
    """The request for a summary; only with a known header."""
    if batch.header is None:
        raise ValueError(f"the header of batch {batch.batch_id} is not known")
    return SummaryRequested(
        batch_id=batch.batch_id,
        owner=batch.header.owner,
        workload=batch.header.workload,
        round=batch.round,
        counts=counts,
        has_source=batch.header.sourced or None,
        timeout_s=limit_s,
    )
