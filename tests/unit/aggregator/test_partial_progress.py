"""Tests of the progress that unfinished items report."""

from uuid import uuid4

from batchyard_contracts.v1.flow import ChunkProcessed, ItemOutcome, ItemsSettled, SettledItem
from services.aggregator.domain.partial_progress import PartialProgress
from services.aggregator.domain.report import Report

BATCH = uuid4()


def report(*outcomes: ItemOutcome) -> Report:
    head = {"chunk_id": uuid4(), "fence": 1, "batch_id": BATCH, "owner": "acme", "workload": "videos"}
    rest = {"partition": "", "round": 1, "attempt": 1, "worker_id": "w", "outcomes": list(outcomes)}
    return Report.decode(ChunkProcessed.model_validate({**head, **rest}).encode())


def going_on(ordinal: int, progress: float | None) -> ItemOutcome:
    return ItemOutcome(ordinal=ordinal, status="continued", state=1, delay_s=1, progress=progress)


def test_shares_add_up_and_are_dropped_with_their_items() -> None:
    partial_progress = PartialProgress(1)
    partial_progress.update(report(going_on(0, None)))
    assert partial_progress.overall_share(0, 4) is None
    partial_progress.update(report(going_on(0, 0.25), going_on(1, 0.5)))
    assert partial_progress.overall_share(1, 4) == 0.438
    partial_progress.update(report(going_on(0, 0.5)))
    assert partial_progress.overall_share(1, 4) == 0.5
    partial_progress.update(report(ItemOutcome(ordinal=0, status="succeeded", result={})))
    assert partial_progress.overall_share(2, 4) == 0.625
    partial_progress.update(ItemsSettled(batch_id=BATCH, round=1, status="failed", items=[SettledItem(ordinal=1)]))
    assert partial_progress.overall_share(3, 4) is None
    partial_progress.update(report(going_on(2, 0.5)))
    assert partial_progress.overall_share(1, None) is None, "nobody knows of how many"
