"""The worker's settings."""

from typing import Annotated

from pydantic import Field

from batchyard_contracts.v1.values import WorkloadName
from shared.artefacts.settings import ResultStoreSettings


class WorkerSettings(ResultStoreSettings):
    """Settings for workloads, reports, heartbeats and shutdown."""

    worker_workloads: list[str] = Field(
        [], description="workloads to run, as a JSON list of names; empty: all", examples=['["noop", "http"]']
    )
    worker_files: list[str] = Field(
        [],
        description="Python files whose workloads are run in place of all others, as a JSON list",
        examples=['["/srv/count_words.py"]'],
    )
    report_interval_s: float = Field(
        0.02, gt=0, le=60, description="longest time in seconds that an outcome waits for its report"
    )
    heartbeat_s: float = Field(
        2.0, gt=0, le=3600, description="seconds between two heartbeats; the dispatcher needs the same value"
    )
    quarantine_memory_mb: int | None = Field(
        None,
        ge=64,
        le=4_194_304,
        description="memory limit of quarantined items in MB; unset: half of the free memory at their start",
        examples=["512"],
    )
    drain_timeout_s: float = Field(
        15.0, ge=0, le=86_400, description="seconds that running items may take to finish after SIGTERM"
    )
    worker_slots: dict[WorkloadName, Annotated[int, Field(ge=1, le=10_000)]] = Field(
        {},
        description="largest number of items or chunks of a workload that run at once, as a JSON object by name; "
        "default: its manifest's",
        examples=['{"noop": 4}'],
    )
    worker_idle_s: float = Field(
        30.0,
        gt=0,
        le=86_400,
        description="seconds without use until a slot is closed, with its thread or process",
    )
    worker_grace_s: float = Field(
        5.0, gt=0, le=3600, description="seconds that a handler may take to end after its interruption"
    )
    worker_max_stuck_handlers: int = Field(
        10,
        ge=0,
        le=10_000,
        description="largest number of handlers that ignore their interruption and go on; with more, /livez fails",
    )
