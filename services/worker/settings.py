"""What can be set of a worker."""

from typing import Annotated

from pydantic import Field

from batchyard_contracts.v1.values import WorkloadName
from shared.runtime.settings import Settings


class WorkerSettings(Settings):
    """Which workloads to run, and how reports and heartbeats are paced."""

    worker_workloads: list[str] = Field([], description="names of the workloads to run, as a JSON list; empty: all")
    worker_files: list[str] = Field(
        [], description="Python files, as a JSON list: run the workloads in them, no others"
    )
    report_every_s: float = Field(0.02, gt=0, description="how long an outcome waits at most before it is reported")
    heartbeat_s: float = Field(2.0, gt=0, description="seconds between heartbeats")
    quarantine_memory_mb: int | None = Field(
        None, ge=64, description="memory that items may take in quarantine; unset: half of what is free when they begin"
    )
    drain_s: float = Field(15.0, ge=0, description="how long running items may go on after SIGTERM")
    worker_slots: dict[WorkloadName, Annotated[int, Field(ge=1, le=10_000)]] = Field(
        {}, description="how many items of a workload run at once at most, as JSON by name; else as its manifest says"
    )
    worker_idle_s: float = Field(30.0, gt=0, description="how long a slot, with its thread or process, stays unneeded")
    worker_grace_s: float = Field(5.0, gt=0, description="how long a handler may take to end after its interruption")
    worker_abandoned_max: int = Field(
        10, ge=0, description="handlers that ignore their interruption and go on: with more, /livez fails"
    )
