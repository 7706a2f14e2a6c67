"""State of an item between two runs, and the pause between them. Pure."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, JsonValue

from services.worker.workloads.videos.model import ProviderName

GROWTH = 1.5
LONGEST = 6.0
"""Longest pause, as a multiple of the first one."""


class Work(BaseModel):
    """The state of one item. Times are seconds since 1970.

        waiting ─▶ intended ─▶ made ─▶ (the clip)
                      └▶ unsure ┘

    `intended`: a job is about to be created; it is not known that it is, only that nothing else is. `unsure`: the call
    may have gone out, and nobody has its answer. `made`: the provider has said the job's id.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: Literal["waiting", "intended", "unsure", "made"]
    provider: ProviderName
    since: float
    """Time when the step began."""
    intended_at: float = 0.0
    """Time at which the intent to create a job was stored; the job is no older."""
    tries: int = 1
    """Number of jobs that were created or were about to be, this one included."""
    runs: int = 0
    """Runs since the step began."""
    job_id: str | None = None
    finished_at: float | None = None
    """Time when the job was first seen to have succeeded."""
    missing: bool = False
    """True if the provider has already answered once that there is no such job."""

    @classmethod
    def read(cls, state: JsonValue) -> Self | None:
        """Read the state that the last run returned; None when there is none."""
        return None if state is None else cls.model_validate(state)

    def kept(self) -> JsonValue:
        """Return the state for the next run."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def again(self) -> Self:
        """Return the state for one more run of the same step."""
        return self.model_copy(update={"runs": self.runs + 1})

    def reference(self, item: str) -> str:
        """Return the reference of this attempt at a job; `item` names the item and its round."""
        return f"{item}:{self.tries}"


def pause_s(runs: int, first_s: float, jitter: float) -> float:
    """Return the seconds to the next run: half more each time up to a bound; `jitter` in [0, 1) varies it by 10 %."""
    return float(first_s * min(GROWTH ** min(runs, 20), LONGEST) * (0.9 + 0.2 * jitter))
