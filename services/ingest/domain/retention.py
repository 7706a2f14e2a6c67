"""Decides for how long what belongs to a batch that has ended is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field

from batchyard_contracts.v1.values import DataKind

KINDS: tuple[DataKind, ...] = get_args(DataKind)
EVERY = "*"
"""Stands for every owner, and for every workload."""
Days = Annotated[float, Field(ge=0, le=36_500)]
_Rule = tuple[str, str]
"""Owner and workload."""


class Retention(BaseModel):
    """Days after its end for which what belongs to a batch is kept; absent: until it is deleted by a command."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    payloads: Annotated[
        Days | None, Field(description="payloads of its items, without which no item of it can be retried")
    ] = 7
    outcomes: Annotated[
        Days | None, Field(description="outcomes of its items with results and failures; its counts stay")
    ] = None
    deliveries: Annotated[Days | None, Field(description="deliveries of its notifications that have ended")] = 30
    batch: Annotated[Days | None, Field(description="the batch itself, with everything that is kept of it")] = None


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """The rules that hold: of two that fit, the one that names the owner, then the one that names the workload."""

    defaults: Retention
    rules: Mapping[_Rule, Mapping[str, float]]
    """Days by kind, for an owner and a workload, each of which may be `EVERY`."""

    def days(self, kind: DataKind, owner: str, workload: str) -> float | None:
        """Return the days for which a kind is kept; None: it is not deleted."""
        for names in ((owner, workload), (owner, EVERY), (EVERY, workload), (EVERY, EVERY)):
            if (days := self.rules.get(names, {}).get(kind)) is not None:
                return days
        found: float | None = getattr(self.defaults, kind)
        return found

    def shortest(self, kind: DataKind) -> float | None:
        """Return the days for which every batch keeps a kind, whatever rule holds for it; None: all keep it."""
        spans = [days for rule in self.rules.values() if (days := rule.get(kind)) is not None]
        default: float | None = getattr(self.defaults, kind)
        return min([*spans, *([] if default is None else [default])], default=None)

    def of(self, owner: str, workload: str) -> Retention:
        """Return what holds for an owner and a workload."""
        return Retention(**{kind: self.days(kind, owner, workload) for kind in KINDS})
