"""Cache invalidations over AMQP and HTTP reach the workers with the cache settings of the workload."""

from batchyard_contracts.v1.commands import CacheInvalidate, CommandRejected, ControlAccepted
from batchyard_contracts.v1.flow import CacheInvalidated
from devstack import Servers
from tests.support.running_ingest import IngestHarness, running_ingest


async def next_invalidation(harness: IngestHarness) -> CacheInvalidated:
    (order,) = await harness.wait_for(CacheInvalidated, 1)
    return order


async def test_one_result_is_invalidated_over_http(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        status, _ = await harness.post("/workloads/squares/invalidate-cache", json={"payload": {"n": 7}})
        assert status == 202
        order = await next_invalidation(harness)
        assert (order.workload, order.version, order.dedup, order.payload) == ("squares", "1", "/n", {"n": 7})


async def test_a_client_over_amqp_invalidates_one_result_and_not_those_of_all_owners(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        refused = await harness.command(CacheInvalidate(workload="squares"))
        assert isinstance(refused, CommandRejected)
        assert (refused.code, refused.status) == ("forbidden", 403)
        one = CacheInvalidate(workload="squares", payload={"n": 7})
        assert isinstance(await harness.command(one), ControlAccepted)
        assert (await next_invalidation(harness)).payload == {"n": 7}


async def test_an_operator_invalidates_all_results_of_a_workload(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        status, _ = await harness.post("/workloads/squares/invalidate-cache", json={})
        assert status == 202
        assert (await next_invalidation(harness)).payload is None


async def test_an_unknown_workload_is_rejected(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        status, problem = await harness.post("/workloads/cubes/invalidate-cache", json={})
        assert (status, problem["code"]) == (404, "unknown_workload")
        rejected = await harness.command(CacheInvalidate(workload="cubes", payload={"n": 7}))
        assert isinstance(rejected, CommandRejected)
        assert rejected.code == "unknown_workload"


async def test_an_invalid_body_is_rejected(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        for document in ({"item": {"n": 7}}, {"payload": 7}):
            status, _ = await harness.post("/workloads/squares/invalidate-cache", json=document)
            assert status == 422
