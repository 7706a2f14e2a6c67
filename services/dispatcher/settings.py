"""What can be set of the dispatcher."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from batchyard_contracts.v1.values import Owner
from shared.runtime.settings import Settings

_HEARTBEATS = 3
"""So many may be late or lost before their worker is taken for lost."""


class DispatcherSettings(Settings):
    """Leases, liveness of workers and how long a finished batch can still be retried."""

    lease_s: float = Field(15.0, gt=0, description="a chunk that no worker names for so long is given out again")
    heartbeat_s: float = Field(2.0, gt=0, description="seconds between heartbeats, as workers have it")
    worker_timeout_s: float = Field(10.0, gt=0, description="a worker that is silent for so long is gone")
    losses_max: int = Field(
        3, ge=1, description="times that a chunk may be lost before it is halved, or its only item fails"
    )
    retention_days: float = Field(7.0, gt=0, description="how long the items of a finished batch are kept")
    owner_weights: dict[Owner, Annotated[float, Field(ge=0.01, le=1000)]] = Field(
        {}, description='shares of owners that want the same workers, as a JSON object: {"ann": 2}; 1 for all others'
    )

    @model_validator(mode="after")
    def _outlasts_lost_heartbeats(self) -> Self:
        for name in ("lease_s", "worker_timeout_s"):
            if getattr(self, name) < (least := _HEARTBEATS * self.heartbeat_s):
                raise ValueError(
                    f"BATCHYARD_{name.upper()} is {getattr(self, name):g} and must be at least {least:g}, "
                    f"{_HEARTBEATS} times BATCHYARD_HEARTBEAT_S: one late heartbeat is no lost worker."
                )
        return self
