"""An owner sees the rates of the destinations that its own batches use, with the counts of these alone."""

from batchyard_contracts.v1.queries import RatesQuery, RatesReply
from devstack import Servers
from services.dispatcher.persistence.rate_store import RateStore
from services.dispatcher.rate_limits.rate_api import RateApi
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts


async def shown(parts: Parts, owner: str | None) -> dict[str, int]:
    """The waiting items by partition, as an owner sees them."""
    api = RateApi(parts.state, RateStore(parts.pool), parts.rate_events)
    reply = await api.on_rates_query(RatesQuery(workload="w", owner=owner), ENVELOPE)
    assert isinstance(reply, RatesReply)
    return {rate.partition: rate.waiting for rate in reply.rates if rate.partition}


async def test_an_owner_sees_its_own_destinations(clean: Servers) -> None:
    async with dispatcher_parts(clean) as make:
        parts = make()
        parts.add_workload("w", partition={"pointer": "/url", "by": "host"}, concurrency=1, chunk_max=1)
        await parts.add_batch({"one.example": 3, "both.example": 2}, owner="ann")
        await parts.add_batch({"two.example": 4, "both.example": 5}, owner="bob")
        async with parts.dispatching():
            await parts.until(lambda: len(parts.outbox.chunks) >= 3)
        everything = await shown(parts, None)
        assert everything.keys() == {"one.example", "two.example", "both.example"}
        ann, bob = await shown(parts, "ann"), await shown(parts, "bob")
        assert ann.keys() == {"one.example", "both.example"}
        assert bob.keys() == {"two.example", "both.example"}
        assert ann["both.example"] + bob["both.example"] == everything["both.example"]
        assert await shown(parts, "eve") == {}
