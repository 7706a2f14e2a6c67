"""Ranks what needs somebody: batches that failed, circuits, dead letters, workloads without a worker, missed runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from batchyard_contracts.v1.queries import BatchState, RateState, WorkloadLoad

Kind = Literal["batch_stopped", "batch_failed", "circuit_open", "dead_letters", "no_worker", "schedule_missed"]
"""Kinds of what needs somebody, the most urgent first."""
MAX_ENTRIES = 50
_STOPPED = {
    "failure_threshold": "was stopped, because more items failed than its failure threshold allows",
    "deadline": "passed its deadline",
    "never_sealed": "was never sealed",
    "internal_error": "was stopped by a defect",
}


@dataclass(frozen=True, slots=True)
class MissedRun:
    """Times of a schedule that did not start a batch."""

    schedule: str
    owner: str
    nominal_at: datetime
    state: str
    reason: str | None
    times: int


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that needs somebody, in words, and where to look."""

    kind: Kind
    detail: str
    at: datetime | None = None
    owner: str | None = None
    batch_id: UUID | None = None
    workload: str | None = None
    partition: str | None = None
    schedule: str | None = None
    queue: str | None = None
    count: int | None = None


def attention(
    failed: Iterable[BatchState],
    circuits: Iterable[RateState],
    dead_letters: Mapping[str, int],
    workloads: Iterable[WorkloadLoad],
    missed: Iterable[MissedRun],
) -> Sequence[Attention]:
    """Return everything that needs somebody, the most urgent kind first."""
    found = [*map(_of_batch, failed), *map(_of_circuit, circuits)]
    found += [
        Attention(
            "dead_letters", f"{count} message{'' if count == 1 else 's'} could not be handled", queue=queue, count=count
        )
        for queue, count in sorted(dead_letters.items(), key=lambda each: -each[1])
    ]
    found += [_of_workload(one) for one in workloads if one.waiting is not None]
    found += map(_of_run, missed)
    order = {kind: place for place, kind in enumerate(get_args(Kind))}
    return sorted(found, key=lambda entry: order[entry.kind])[:MAX_ENTRIES]


def _of_batch(batch: BatchState) -> Attention:
    counts = batch.counts
    name = repr(batch.name) if batch.name else str(batch.batch_id)
    of = f"{counts.failed + counts.expired} of {counts.total or counts.ended} items failed or expired"
    where: dict[str, Any] = {
        "at": batch.finished_at,
        "owner": batch.owner,
        "batch_id": batch.batch_id,
        "workload": batch.workload,
    }
    count = counts.failed + counts.expired
    if batch.stop_reason:
        words = _STOPPED.get(batch.stop_reason, "was stopped")
        return Attention("batch_stopped", f"{name} {words}: {of}", count=count, **where)
    return Attention("batch_failed", f"{name} ended {batch.result}: {of}", count=count, **where)


def _of_circuit(rate: RateState) -> Attention:
    error = f": {rate.error.code}" if rate.error else ""
    detail = f"{rate.workload}: {rate.partition or 'the provider'} refuses every call{error}"
    return Attention(
        "circuit_open",
        detail,
        workload=rate.workload,
        partition=rate.partition,
        count=rate.waiting,
        at=rate.next_probe_at,
    )


def _of_workload(load: WorkloadLoad) -> Attention:
    batches = f"{load.batches} batch{'' if load.batches == 1 else 'es'}"
    wait = "waits" if load.batches == 1 else "wait"
    return Attention(
        "no_worker", f"No worker runs {load.workload}: {batches} {wait}", workload=load.workload, count=load.batches
    )


def _of_run(run: MissedRun) -> Attention:
    times = f"{run.times} times of {run.schedule} were" if run.times > 1 else f"A time of {run.schedule} was"
    what = "missed" if run.state == "missed" else "not run"
    reason = f": {run.reason}" if run.reason else ""
    return Attention(
        "schedule_missed",
        f"{times} {what}{reason}",
        at=run.nominal_at,
        owner=run.owner,
        schedule=run.schedule,
        count=run.times,
    )
