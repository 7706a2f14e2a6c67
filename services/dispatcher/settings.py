"""What can be set of the dispatcher."""

from pydantic import Field

from shared.settings import Settings


class DispatcherSettings(Settings):
    """Leases, liveness of workers and how long a finished batch can still be retried."""

    lease_s: float = Field(15.0, gt=0, description="a chunk that no worker names for so long is given out again")
    worker_timeout_s: float = Field(10.0, gt=0, description="a worker that is silent for so long is gone")
    losses_max: int = Field(3, ge=1, description="times that a chunk may be lost before its items fail")
    retention_days: float = Field(7.0, gt=0, description="how long the items of a finished batch are kept")
