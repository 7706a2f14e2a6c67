"""Predictions by a chat endpoint, through the real services: refusals, no credit, what is asked twice."""

import json
from pathlib import Path
from typing import Any

from batchyard_contracts.v1.values import ItemResult
from devstack import Servers
from tests.support.chat_endpoint import ChatEndpoint, chat_endpoint
from tests.support.cluster import Cluster, running_cluster
from tests.support.patience import PATIENCE_S

PORTFOLIO = Path(__file__).parents[2] / "examples" / "predictions-portfolio.ndjson"
PROJECT: dict[str, Any] = json.loads(PORTFOLIO.read_text("utf-8").splitlines()[0])


def settings(endpoint: ChatEndpoint) -> dict[str, str]:
    given = {"PROVIDER": "chat", "URL": endpoint.url, "KEY": endpoint.key, "MODEL": "some-model"}
    return {f"BATCHYARD_PREDICTIONS_{name}": value for name, value in given.items()}


async def ends(cluster: Cluster, *names: str) -> list[str]:
    """Return the ends of the projects by name: `ok`, `cached`, `duplicate` or the code of the error."""
    receipt = await cluster.client.submit("predictions", [PROJECT | {"project": name} for name in names])
    await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    await cluster.check_ledger(receipt.batch_id, len(names))
    return [_end(item) async for item in cluster.client.results(receipt.batch_id)]


def _end(item: ItemResult) -> str:
    if item.error:
        return item.error.code
    return item.status if item.status != "succeeded" else "cached" if item.cached else "ok"


async def test_predictions_by_a_chat_endpoint(clean: Servers) -> None:
    async with (
        chat_endpoint() as endpoint,
        running_cluster(clean, settings(endpoint), workers=1, known=["predictions"]) as cluster,
    ):
        names = ["good", "refusal", "filter", "long", "bad", "bad-once", "limited-at-first", "good"]
        assert await ends(cluster, *names) == [
            "ok", "model_refused", "model_refused", "answer_too_long", "invalid_response", "ok", "ok", "duplicate",
        ]  # fmt: skip
        assert endpoint.calls["good"] == 1
        assert endpoint.calls["limited-at-first"] == 2

        assert await ends(cluster, "broke-at-first", "other") == ["ok", "ok"], "they wait until there is credit again"
        assert endpoint.calls["broke-at-first"] == 2

        assert await ends(cluster, "good", "refusal") == ["cached", "model_refused"], "what failed is not remembered"
        assert endpoint.calls["good"] == 1
