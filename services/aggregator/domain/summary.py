"""The summary of a round: what is kept of it, and for how long one is waited for."""

from dataclasses import dataclass

from pydantic import JsonValue
from pydantic_core import to_json

from batchyard_contracts.v1.values import SUMMARY_MAX_BYTES, Counts
from batchyard_contracts.v1.work import SummaryWanted
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.outcome_rows import clean

_ITEMS_PER_S = 1000
"""So many results a worker reads in a second, even a busy one."""
_LONGEST_S = 1500.0
"""Below the half hour after which a broker takes an unacknowledged message back."""
_MARGIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What the workload made of the results; or, without it, why there is none."""

    value: JsonValue = None
    error: str | None = None

    @classmethod
    def told(cls, value: JsonValue, error: str | None) -> "Summary":
        """What a worker said, within its limits."""
        if error is not None:
            return cls(error=clean(error))
        size = len(to_json(value))
        if size > SUMMARY_MAX_BYTES:
            return cls(error=f"The summary has {size} bytes of JSON; at most {SUMMARY_MAX_BYTES} are kept.")
        return cls(value)


NO_SUMMARY = Summary()
"""Of a batch that has none, or none yet."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a summary is asked for, and how long a worker has: `base_s`, and more for many items."""

    times: int
    base_s: float

    def limit_s(self, batch: Batch) -> float:
        """For one try."""
        return min(_LONGEST_S, self.base_s + batch.tally.succeeded / _ITEMS_PER_S)

    def wait_s(self, batch: Batch) -> float:
        """After which nothing is to be expected of a try any more."""
        return self.limit_s(batch) + _MARGIN_S

    def exhausted(self, batch: Batch) -> bool:
        """Whether it was asked for often enough."""
        return batch.summary_asked >= self.times

    def nobody_answered(self, batch: Batch) -> Summary:
        """What is kept then."""
        workload = batch.header.workload if batch.header else ""
        return Summary(
            error=f"No worker made the summary of {workload}, though it was asked for {self.times} times, "
            f"{self.wait_s(batch):.0f} s each. See that workers for {workload} run, and what is in the dead letters of "
            f"work.{workload}.summary."
        )


def wanted(batch: Batch, counts: Counts, limit_s: float) -> SummaryWanted:
    """The request for a summary; only with a known header."""
    if batch.header is None:
        raise ValueError(f"the header of batch {batch.batch_id} is not known")
    return SummaryWanted(
        batch_id=batch.batch_id,
        owner=batch.header.owner,
        workload=batch.header.workload,
        round=batch.round,
        counts=counts,
        sourced=batch.header.sourced or None,
        limit_s=limit_s,
    )
