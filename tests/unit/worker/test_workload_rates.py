"""Rates of the built-in workloads: those that call providers adapt, within what the providers publish."""

import pytest

from services.worker.workloads import leads, predictions
from services.worker.workloads.predictions.handler import MAX_CALLS_AT_ONCE


def test_a_workload_that_calls_nobody_has_no_rate() -> None:
    assert predictions.workload.announcement().adaptive is None


def test_calls_of_providers_have_adaptive_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHYARD_PREDICTIONS_PROVIDER", "chat")
    ceilings = {}
    for workload in (leads.workload, predictions.workload):
        adaptive = workload.announcement().adaptive
        assert adaptive is not None
        ceilings[workload.name] = adaptive.ceiling
    assert ceilings == {"leads": 2, "predictions": 20}


def test_all_workers_together_make_few_calls_of_a_chat_model_for_small_batches() -> None:
    announced = predictions.workload.announcement()
    assert (announced.partition_concurrency, MAX_CALLS_AT_ONCE) == (5, 5)
    assert announced.max_items == 50
