"""Orders to forget known results reach the workers, by AMQP and by HTTP, with what these need to know."""

from batchyard_contracts.v1.commands import CacheInvalidate, CommandRejected, ControlAccepted
from batchyard_contracts.v1.flow import CacheInvalidated
from devstack import Servers
from tests.support.running_ingest import Around, at_work


async def told(found: Around) -> CacheInvalidated:
    (order,) = await found.heard(CacheInvalidated, 1)
    return order


async def test_by_http(clean: Servers) -> None:
    async with at_work(clean) as found:
        status, _ = await found.post("/workloads/squares/forget", json={"payload": {"n": 7}})
        assert status == 202
        order = await told(found)
        assert (order.workload, order.version, order.dedup, order.payload) == ("squares", "1", "/n", {"n": 7})


async def test_all_of_a_workload_by_amqp(clean: Servers) -> None:
    async with at_work(clean) as found:
        assert isinstance(await found.command(CacheInvalidate(workload="squares")), ControlAccepted)
        assert (await told(found)).payload is None


async def test_a_workload_that_nobody_announced_is_refused(clean: Servers) -> None:
    async with at_work(clean) as found:
        status, problem = await found.post("/workloads/cubes/forget", json={})
        assert (status, problem["code"]) == (404, "unknown_workload")
        refused = await found.command(CacheInvalidate(workload="cubes"))
        assert isinstance(refused, CommandRejected)
        assert refused.code == "unknown_workload"


async def test_a_body_that_says_something_else_is_refused(clean: Servers) -> None:
    async with at_work(clean) as found:
        for document in ({"item": {"n": 7}}, {"payload": 7}):
            status, _ = await found.post("/workloads/squares/forget", json=document)
            assert status == 422
