"""Limits as destinations see them: five services, four workers, and a destination that notes when each call came."""

import pytest

from benchmarks.rates.running import running_destination
from devstack import Servers
from tests.support.calling_cluster import calling_cluster, most_within

pytestmark = pytest.mark.asyncio(loop_scope="module")
BURST = 5
RATE = 50


async def test_four_workers_together_keep_every_limit_in_every_second(servers: Servers) -> None:
    account = {"name": "account", "partition": {"pointer": "/account"}, "rate": {"per_second": 20}}
    rates = {"fast": {"per_second": RATE, "burst": BURST}, "shared": {"per_second": 1000}}
    async with (
        running_destination("0:100000") as fast,
        running_destination("0:100000") as shared,
        calling_cluster(servers, workers=4, rates=rates, limits=[account], concurrency=20) as cluster,
    ):
        items = [{"url": f"{fast.url}/call", "partition": "fast", "account": str(n)} for n in range(300)]
        items += [{"url": f"{shared.url}/call", "partition": "shared", "account": "one"} for _ in range(100)]
        accepted = await cluster.client.submit("calling", items)
        event = await cluster.client.wait(accepted.batch_id, timeout_s=60)
        assert event.counts.succeeded == 400
        call_log = await fast.call_log()
        assert len(call_log.calls) == 300
        assert most_within([at for at, _ in call_log.calls], 1.0) <= RATE + BURST + call_log.late_s * RATE
        call_log = await shared.call_log()
        of_account = sorted(at for at, _ in call_log.calls)
        assert most_within(of_account, 1.0) <= 20 + 1 + call_log.late_s * 20
        assert of_account[-1] - of_account[0] >= 99 / 20
