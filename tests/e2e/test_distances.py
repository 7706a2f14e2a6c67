"""Tests of distances and recommendations through the real services, with the embedded estimate."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from batchyard_contracts.v1.queries import WorkloadQuery, WorkloadReply
from batchyard_contracts.v1.values import NewItem
from services.worker.workloads.distances.recommendations import Recommendations
from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = Path(__file__).parents[2] / "examples"


def contractor(number: int) -> dict[str, Any]:
    return {
        "id": f"c{number}",
        "lat": 39.7 + number / 500,
        "lon": -105.0 + number / 700,
        "skills": ["gas"] if number % 3 else [],
        "rating": number % 50 / 10,
        "reviews": number,
    }


async def recommend(cluster: Cluster, document: dict[str, Any], status: int = 200) -> Any:
    async with cluster.http.post("workloads/distances/questions/recommend", json=document) as response:
        assert response.status == status, await response.text()
        return await response.json()


async def test_a_batch_of_pairs_gets_distances(cluster: Cluster) -> None:
    items = [
        NewItem(
            payload={
                "origin_lat": 39.7 + n / 1000,
                "origin_lon": -105.0,
                "destination_lat": 39.7 + n / 1000,
                "destination_lon": -104.0,
                "contractor": f"c{n}",
            }
        )
        for n in range(500)
    ]
    receipt = await cluster.client.submit("distances", items)
    assert (await cluster.client.wait(receipt.batch_id, PATIENCE_S)).result == "completed"
    results = [item.result async for item in cluster.client.results(receipt.batch_id)]
    assert [one["contractor"] for one in results] == [f"c{n}" for n in range(500)]
    first = results[0]
    assert (first["status"], first["provider"], first["method"]) == ("ok", "geodesic", "geodesic estimate")
    assert 85_000 * 1.3 < first["metres"] < 86_500 * 1.3
    await cluster.check_ledger(receipt.batch_id, 500)


async def test_a_hundred_candidates_are_ranked_at_once(cluster: Cluster) -> None:
    question = {
        "jobs": [{"id": "j", "lat": 39.7392, "lon": -104.9903, "skills": ["gas"]}],
        "contractors": [contractor(n) for n in range(100)],
        "limit": 10,
    }
    answer = Recommendations.model_validate(await recommend(cluster, question))
    (job,) = answer.jobs
    assert (answer.provider, answer.in_time) == ("geodesic", True)
    assert len(job.recommended) == 10
    assert all(int(one.contractor_id[1:]) % 3 for one in job.recommended)
    assert {one.reason for one in job.excluded} == {"missing_skill"}
    assert len(job.recommended) + len(job.excluded) + job.others == 100


async def test_an_invalid_query_is_refused_with_its_error(cluster: Cluster) -> None:
    problem = await recommend(cluster, {"jobs": [{"id": "j", "lat": 100, "lon": 0}], "contractors": []}, 422)
    assert "lat" in problem["detail"]


async def test_a_client_asks_by_amqp(cluster: Cluster) -> None:
    request = json.loads((EXAMPLES / "recommend.json").read_bytes())
    query = WorkloadQuery(workload="distances", question="recommend", request=request)
    reply = await cluster.client.query(query, WorkloadReply)
    assert reply.error is None
    assert len(Recommendations.model_validate(reply.answer).jobs) == 2
    twice = {**request, "jobs": request["jobs"][:1] * 2}
    refused = (await cluster.client.query(query.model_copy(update={"request": twice}), WorkloadReply)).error
    assert refused
    assert (refused.code, refused.scope) == ("invalid_question", "request")
    assert "two jobs have the same id" in refused.message


async def test_the_cli_prints_recommendations(cluster: Cluster) -> None:
    url = str(cluster.http._base_url).removesuffix("/api/v1/")
    argv = [sys.executable, "-m", "services.cli", "ask", "distances", "recommend", str(EXAMPLES / "recommend.json")]
    for more in ([], ["--json"]):
        process = await asyncio.create_subprocess_exec(
            *argv, *more, env={**os.environ, "BATCHYARD_URL": url}, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode == 0
        if more:
            jobs = json.loads(output)["jobs"]
            assert [job["job_id"] for job in jobs] == ["boiler-1", "roof-2"]
            assert jobs[1]["recommended"][0]["contractor_id"] == "cy"
        else:
            assert "boiler-1" in output.decode()
            assert '"missing_skill"' in output.decode()
