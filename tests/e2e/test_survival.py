"""Kill -9 of each service and server in the middle of a batch: every item ends once, the batch finishes once."""

import asyncio
import os
import signal

import pytest

from batchyard_contracts.v1.events import BatchProgressed
from batchyard_contracts.v1.values import Notifications
from devstack import Name, Stack, default_home
from tests.support.yard import Yard

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOTAL = 600
ITEMS = [{"n": n, "sleep_s": 0.3} for n in range(TOTAL)]


async def _in_the_middle(yard: Yard) -> object:
    """Submit a batch and return its id when some of it has ended."""
    receipt = await yard.client.submit("noop", ITEMS, notify=Notifications(webhooks=[yard.webhooks.url]))
    async with asyncio.timeout(30), yard.client.events(receipt.batch_id) as events:
        async for event in events:
            if isinstance(event, BatchProgressed) and 0 < event.counts.ended < TOTAL / 2:
                return receipt.batch_id
    raise AssertionError("It ended before it could be disturbed.")


async def _ends_once(yard: Yard, batch_id: object) -> None:
    finished = await yard.client.wait(batch_id, 60)  # type: ignore[arg-type]
    assert (finished.result, finished.counts.succeeded) == ("completed", TOTAL)
    await yard.check_ledger(finished.batch_id, TOTAL)
    async with asyncio.timeout(30):
        while not yard.finished_calls(finished.batch_id):
            await yard.webhooks.wait_for(len(yard.webhooks.calls) + 1, 30)
    assert len(yard.finished_calls(finished.batch_id)) == 1


@pytest.mark.parametrize("service", ["ingest", "dispatcher", "worker-1", "aggregator", "notifier"])
async def test_a_killed_service(yard: Yard, service: str) -> None:
    batch_id = await _in_the_middle(yard)
    before = yard.supervisor.pid(service)
    yard.supervisor.kill(service, signal.SIGKILL)
    await _ends_once(yard, batch_id)
    await yard.supervisor.ready(service)
    assert yard.supervisor.pid(service) != before


async def test_all_services_killed_at_once(yard: Yard) -> None:
    batch_id = await _in_the_middle(yard)
    for service in ("ingest", "dispatcher", "worker-1", "worker-2", "aggregator", "notifier"):
        yard.supervisor.kill(service, signal.SIGKILL)
    await _ends_once(yard, batch_id)


async def test_a_worker_told_to_stop_hands_its_items_on(yard: Yard) -> None:
    batch_id = await _in_the_middle(yard)
    yard.supervisor.kill("worker-2", signal.SIGTERM)
    await _ends_once(yard, batch_id)
    await yard.supervisor.ready("worker-2")


@pytest.mark.parametrize("server", ["rabbitmq", "postgres", "redis"])
async def test_a_killed_server_comes_back(yard: Yard, server: Name) -> None:
    if os.environ.get(f"BATCHYARD_{ {'rabbitmq': 'AMQP', 'postgres': 'DATABASE', 'redis': 'REDIS'}[server] }_URL"):
        pytest.skip("The servers were given by their addresses: they are not ours to kill.")
    stack = Stack(default_home(), print)
    await stack.start()
    services = ("ingest", "dispatcher", "worker-1", "worker-2", "aggregator", "notifier")
    before = {name: yard.supervisor.pid(name) for name in services}
    batch_id = await _in_the_middle(yard)
    await stack.kill(server)
    await stack.restart(server)
    await _ends_once(yard, batch_id)
    assert {name: yard.supervisor.pid(name) for name in services} == before, "no service had to be restarted"
