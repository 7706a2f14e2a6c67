"""Tests of HTTP calls through the real services: hosts, pauses, refusals, and secrets that are never shown."""

from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.http_target import http_target
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_calls_end_as_their_responses_say(cluster: Cluster) -> None:
    async with http_target() as target:
        here, there = target.origins
        secret = {"Authorization": "Bearer never-to-be-seen"}
        good: list[dict[str, Any]] = [
            {"url": f"{host}/echo?n={n}", "headers": secret} for n in range(20) for host in target.origins
        ]
        passing: list[dict[str, Any]] = [{"url": f"{there}/first/429/a"}, {"url": f"{here}/first/503/b"}]
        bad: list[dict[str, Any]] = [
            {"url": f"{here}/status/404"},
            {"url": f"{here}/redirect?to=http://169.254.169.254/latest/meta-data/", "redirects": 1},
            {"url": f"{here}/drop", "method": "POST"},
            {"url": f"{here}/status/429?Retry-After=0"},
            {"url": f"{here}/status/503?Retry-After=-7"},
        ]
        accepted = await cluster.client.submit("http", [*good, *passing, *bad])
        finished = await cluster.client.wait(accepted.batch_id, PATIENCE_S)
        assert finished.result == "partial"
        await cluster.check_ledger(accepted.batch_id, 47)
        results = {item.ordinal: item async for item in cluster.client.results(accepted.batch_id)}
        assert [results[n].result["json"]["calls"] for n in (40, 41)] == [2, 2]
        codes = [error.code for n in range(42, 47) if (error := results[n].error)]
        assert codes == ["http_404", "address_refused", "needs_review", "rate_limited", "unavailable"]
        assert target.calls["/drop"] == 1
        assert target.calls["/status/429"] == target.calls["/status/503"] == 4, "as many as attempts"
        assert "never-to-be-seen" not in "".join(item.model_dump_json() for item in results.values())
    for log in cluster.folder.rglob("*.log"):
        assert "never-to-be-seen" not in log.read_text("utf-8"), log


async def test_an_invalid_call_is_refused_at_submission(cluster: Cluster) -> None:
    for payload in ({"url": "file:///etc/passwd"}, {"url": "http://a.test/", "body": "a", "json": 1}):
        async with cluster.http.post("batches", json={"workload": "http", "items": [{"payload": payload}]}) as response:
            assert response.status == 422, await response.text()
