"""What can be set of a worker."""

from pydantic import Field

from shared.settings import Settings


class WorkerSettings(Settings):
    """Which workloads to run, and how reports and heartbeats are paced."""

    worker_workloads: list[str] = Field([], description="names of the workloads to run, as a JSON list; empty: all")
    report_every_s: float = Field(0.02, gt=0, description="how long an outcome waits at most before it is reported")
    heartbeat_s: float = Field(2.0, gt=0, description="seconds between heartbeats")
    drain_s: float = Field(15.0, ge=0, description="how long running items may go on after SIGTERM")
