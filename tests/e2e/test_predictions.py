"""Tests of a portfolio through the real services: predicted, cached, and predicted anew after changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.worker.workloads.predictions.model import Prediction
from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")

PORTFOLIO = Path(__file__).parents[2] / "examples" / "predictions-portfolio.ndjson"


async def test_a_portfolio_gets_predictions_and_unchanged_projects_are_cached(cluster: Cluster) -> None:
    items: list[dict[str, Any]] = [json.loads(line) for line in PORTFOLIO.read_text("utf-8").splitlines()]
    first = await _predicted(cluster, items)
    assert [made.project for made, _ in first] == [item["project"] for item in items]
    assert {made.risk.level for made, _ in first if made.risk} >= {"low", "medium", "high"}
    assert any(made.final_cost and made.final_cost.range_level == 0.9 for made, _ in first)
    changed = [{**items[0], "actual_cost": [2 * cost for cost in items[0]["actual_cost"]]}, *items[1:]]
    second = await _predicted(cluster, changed)
    assert [cached for _, cached in second] == [False] + [True] * (len(items) - 1)
    assert second[0][0].final_cost != first[0][0].final_cost
    assert [made for made, _ in second[1:]] == [made for made, _ in first[1:]]


async def _predicted(cluster: Cluster, items: list[dict[str, Any]]) -> list[tuple[Prediction, bool]]:
    accepted = await cluster.client.submit("predictions", items)
    finished = await cluster.client.wait(accepted.batch_id, PATIENCE_S)
    assert finished.result == "completed"
    results = [item async for item in cluster.client.results(accepted.batch_id)]
    return [(Prediction.model_validate(item.result), item.cached) for item in results]
