"""Rates of destinations in a running cluster: they adapt, an operator overrides them, and circuits open."""

import asyncio
import signal
import time

import aiohttp
import pytest

from batchyard_contracts import topology
from batchyard_contracts.v1.events import CircuitChanged, RateChanged
from benchmarks.rates.running import running_destination
from devstack import Servers
from tests.support.calling_cluster import calling_cluster
from tests.support.cluster import Cluster
from tests.support.message_recorder import recorded_messages
from tests.support.patience import PATIENCE_S, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]
OPERATOR = "operator@b.example"


async def _rate(cluster: Cluster, partition: str, history: int = 0) -> dict[str, object]:
    async with cluster.http.get("rates/calling", params={"partition": partition, "history": history}) as answer:
        assert answer.status == 200, await answer.text()
        (found,) = (await answer.json())["rates"]
        return dict(found)


async def test_the_rate_of_a_destination_from_the_first_item_to_the_last(servers: Servers) -> None:
    circuit = {"base_s": 1.0, "cap_s": 2.0, "give_up_s": 600}
    adaptive = {"floor": 5, "ceiling": 500, "start": 20}
    async with (
        running_destination("0:60") as destination,
        calling_cluster(servers, operator=OPERATOR, adaptive=adaptive, circuit=circuit, concurrency=50) as cluster,
        recorded_messages(servers.amqp_url, topology.EVENTS, RateChanged, CircuitChanged) as recorder,
    ):
        url = f"{destination.url}/call"
        # It follows the destination.
        items = [{"url": url, "partition": "one"} for _ in range(600)]
        batch = (await cluster.client.submit("calling", items)).batch_id
        event = await cluster.client.wait(batch, timeout_s=120)
        assert event.counts.succeeded == 600
        learned = await _rate(cluster, "one", history=50)
        assert learned["adaptive"]
        assert isinstance(learned["per_second"], float)
        assert 20 < learned["per_second"] < 200
        assert learned["history"]
        await recorder.until(RateChanged, lambda e: e.partition == "one" and e.owner == "all")
        # An operator holds another one back, at once.
        items = [{"url": url, "partition": "two"} for _ in range(2000)]
        batch = (await cluster.client.submit("calling", items)).batch_id
        put = {"partition": "two", "rate": {"per_second": 2.0}, "concurrency": 2}
        async with cluster.http.put("rates/calling", json=put) as answer:
            assert answer.status == 200, await answer.text()
            (state,) = (await answer.json())["rates"]
        assert (state["per_second"], state["concurrency"], state["set_by_operator"]) == (2.0, 2, True)
        call_log = time.monotonic()
        await asyncio.sleep(1.0)
        before = (await cluster.client.batch(batch)).counts.succeeded
        await asyncio.sleep(3.0)
        assert (await cluster.client.batch(batch)).counts.succeeded - before <= 2 * (time.monotonic() - call_log) + 2
        async with cluster.http.delete("rates/calling", params={"partition": "two"}) as answer:
            assert answer.status == 200
        assert (await _rate(cluster, "two"))["set_by_operator"] is False
        await cluster.client.control(batch, "cancel")
        # A provider that refuses everything costs a handful of calls, and no item an attempt.
        await _refuse(destination.url, refuse=True)
        before_calls = len((await destination.call_log()).calls)
        items = [{"url": url, "partition": "three"} for _ in range(300)]
        batch = (await cluster.client.submit("calling", items)).batch_id
        await recorder.until(CircuitChanged, lambda e: e.partition == "three" and e.state == "open")
        await asyncio.sleep(2.0)
        assert (await _rate(cluster, "three"))["circuit"] != "closed"
        calls = len((await destination.call_log()).calls) - before_calls
        assert calls <= 2 * 50, "those that ran when it refused first, and single tries"
        assert (await cluster.client.batch(batch)).counts.failed == 0
        await _know_again_after_a_kill(cluster)
        await _refuse(destination.url, refuse=False)
        await recorder.until(CircuitChanged, lambda e: e.partition == "three" and e.state == "closed")
        event = await cluster.client.wait(batch, timeout_s=120)
        assert event.counts.succeeded == 300
        results = [item async for item in cluster.client.results(batch)]
        assert {item.attempts for item in results} == {1}


async def _know_again_after_a_kill(cluster: Cluster) -> None:
    """A dispatcher that comes after one that was killed knows what an operator set, and who refuses; operators were
    told of that once."""
    async with cluster.http.put("rates/calling", json={"partition": "kept", "rate": {"per_second": 3.0}}) as answer:
        assert answer.status == 200, await answer.text()
    cluster.supervisor.kill("dispatcher", signal.SIGKILL)
    await _until_active(cluster)
    kept, refusing = await _rate(cluster, "kept"), await _rate(cluster, "three")
    assert (kept["per_second"], kept["set_by_operator"]) == (3.0, True)
    assert refusing["circuit"] != "closed"
    assert refusing["error"]
    async with asyncio.timeout(PATIENCE_S):
        while not (letters := [one for one in cluster.mailbox.letters if "three" in one.message["Subject"]]):
            await cluster.mailbox.wait_for(len(cluster.mailbox.letters) + 1)
    (letter,) = letters  # there is one of another destination too if that was slow for as long
    assert letter.recipients == (OPERATOR,)


async def _until_active(cluster: Cluster) -> None:
    """Until a dispatcher answers."""

    async def is_active() -> bool:
        async with cluster.http.get("rates/calling", params={"partition": "kept"}) as answer:
            return answer.status == 200 and bool((await answer.json())["rates"])

    await until(is_active)


async def _refuse(url: str, *, refuse: bool) -> None:
    async with aiohttp.ClientSession() as http, http.post(f"{url}/refuse", json=refuse) as answer:
        answer.raise_for_status()
