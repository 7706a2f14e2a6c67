"""Distances by a provider, through the real services: few calls, none for what is known; and a key that is missing."""

import random
import time

import pytest

from batchyard_contracts.client import BatchRefused
from batchyard_contracts.v1.values import NewItem
from devstack import Servers
from tests.support.cluster import Cluster, running_cluster
from tests.support.osrm_server import OsrmServer, osrm_server
from tests.support.patience import PATIENCE_S

LONG_S = 30.0
"""So long the provider takes, and nobody waits for it."""


def pair(origin: int, destination: int, lat: float = 51.0) -> NewItem:
    return NewItem(
        payload={
            "origin_lat": 50.0,
            "origin_lon": origin / 100,
            "destination_lat": lat,
            "destination_lon": destination / 100,
        }
    )


async def statuses(cluster: Cluster, items: list[NewItem]) -> list[str]:
    receipt = await cluster.client.submit("distances", items)
    await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    await cluster.check_ledger(receipt.batch_id, len(items))
    return [
        item.result["status"] if item.result else item.error.code if item.error else item.status
        async for item in cluster.client.results(receipt.batch_id)
    ]


async def recommended(cluster: Cluster, server: OsrmServer) -> None:
    """The provider's times where it answers, estimates where it does not."""
    question = {
        "jobs": [{"id": "j", "lat": 50.0, "lon": 0.0}],
        "contractors": [{"id": f"c{n}", "lat": 50.0, "lon": n / 10} for n in range(1, 40)],
        "exact": 10,
        "deadline_s": 10.0,
    }
    async with cluster.http.post("workloads/distances/questions/recommend", json=question) as response:
        answer = await response.json()
    (job,) = answer["jobs"]
    assert (answer["provider"], answer["in_time"]) == ("osrm", True)
    assert [one["contractor_id"] for one in job["recommended"]] == ["c1", "c2", "c3", "c4", "c5"]
    assert job["recommended"][0]["travel"]["method"] == "road network"
    assert sum(one["reason"] == "less_likely" for one in job["excluded"]) > 10
    server.pause_s = LONG_S
    began = time.monotonic()
    question |= {"deadline_s": 0.5, "jobs": [{"id": "late", "lat": 50.3, "lon": 0.0}]}
    async with cluster.http.post("workloads/distances/questions/recommend", json=question) as response:
        answer = await response.json()
    assert time.monotonic() - began < LONG_S, "it does not wait for the provider"
    assert answer["in_time"] is False
    assert answer["jobs"][0]["recommended"][0]["travel"]["method"] == "geodesic estimate"
    server.pause_s = 0.0
    server.fail += [500] * 100
    question["jobs"] = [{"id": "k", "lat": 50.5, "lon": 0.0}]
    async with cluster.http.post("workloads/distances/questions/recommend", json=question) as response:
        answer = await response.json()
    assert answer["jobs"][0]["recommended"][0]["travel"]["method"] == "geodesic estimate"
    server.fail.clear()


async def test_distances_and_recommendations_by_osrm(clean: Servers) -> None:
    items = [pair(a, b) for a in range(20) for b in range(20)]
    random.Random(3).shuffle(items)
    items += [pair(1, 1, lat=85.0), pair(2, 2, lat=-85.0)]
    async with osrm_server() as server:
        settings = {"BATCHYARD_DISTANCES_PROVIDER": "osrm", "BATCHYARD_DISTANCES_URL": server.url}
        async with running_cluster(clean, settings, workers=1, known=["distances"]) as cluster:
            found = await statuses(cluster, items)
            assert found == ["ok"] * 400 + ["unreachable", "place_not_routable"]
            assert server.calls <= 3, "20 x 20 places are one call, and those that have no way or no road not many more"
            before = server.calls
            assert await statuses(cluster, items[:400]) == ["ok"] * 400
            assert server.calls == before, "all of it was known"
            await recommended(cluster, server)
            server.fail.append(502)
            before = server.calls
            waited = [pair(a, b, lat=52.0) for a in range(20) for b in range(20)]
            assert await statuses(cluster, waited) == ["ok"] * 400, "none fails by the provider's fault"
            assert server.calls <= before + 3, "refused, tried by one, answered for the rest"


async def test_a_missing_key_is_said_at_submission(clean: Servers) -> None:
    settings = {"BATCHYARD_DISTANCES_PROVIDER": "google"}
    async with running_cluster(clean, settings, workers=1, known=["distances"]) as cluster:
        with pytest.raises(BatchRefused, match="BATCHYARD_DISTANCES_KEY"):
            await cluster.client.submit("distances", [pair(1, 1)])
        async with cluster.http.post("workloads/distances/questions/recommend", json={
            "jobs": [{"id": "j", "lat": 0, "lon": 0}], "contractors": [{"id": "c", "lat": 0, "lon": 0}]
        }) as response:  # fmt: skip
            assert response.status == 409
            assert (await response.json())["code"] == "workload_unavailable"
        receipt = await cluster.client.submit("noop", [NewItem(payload={"n": 3})])
        assert (await cluster.client.wait(receipt.batch_id, PATIENCE_S)).result == "completed"
