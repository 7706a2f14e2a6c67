"""The least rights in RabbitMQ: the services work with them, and nobody can do more."""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Literal

import aio_pika
import pytest
from aiormq.exceptions import ChannelAccessRefused

from batchyard_contracts import topology
from batchyard_contracts.client import QueryRefused
from batchyard_contracts.topology import work_queue
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply
from devstack import Servers
from tests.support.cluster import Cluster, running_cluster
from tests.support.servers import accounts_on

TASKS = work_queue("noop", "normal").name
TOKEN = "0af"
Operation = Literal["publish", "bind", "consume", "declare"]


@pytest.fixture(scope="module")
def brokers(servers: Servers) -> Mapping[str, str]:
    """Addresses of RabbitMQ by user."""
    accounts = asyncio.run(accounts_on(servers))
    found = {name: account["BATCHYARD_AMQP_URL"] for name, account in accounts.items()}
    if servers.amqp_url in found.values():
        pytest.skip("RabbitMQ runs elsewhere, so that it imports no definitions from here.")
    return found


async def test_the_services_work_with_the_least_rights(servers: Servers, brokers: Mapping[str, str]) -> None:
    async with running_cluster(servers, {"BATCHYARD_ANONYMOUS_OWNER": ""}, owner="ann") as cluster:
        accepted = await cluster.client.submit("noop", [{"n": n} for n in range(200)])
        async with cluster.client.events(accepted.batch_id) as events:
            seen = [event async for event in events]
        assert seen[-1].type == "batch.finished.v1"
        await cluster.check_ledger(accepted.batch_id, 200)
        assert len([item async for item in cluster.client.results(accepted.batch_id)]) == 200
        await _refuses_another_owner(cluster)
        assert cluster.defects() == []


async def _refuses_another_owner(cluster: Cluster) -> None:
    with pytest.raises(QueryRefused, match="'bob'"):
        await cluster.client.query(BatchesQuery(owner="bob", limit=1), BatchesReply)


@pytest.mark.parametrize(
    ("user", "operation", "name", "key", "is_allowed"),
    [
        ("ann", "publish", topology.COMMANDS, "batch.submit.v1", True),
        ("ann", "publish", topology.COMMANDS, "batch.control.v2", True),
        ("ann", "publish", topology.COMMANDS, "rates.control.v1", False),
        ("ann", "publish", topology.QUERIES, "results.query.v1", True),
        ("ann", "publish", topology.INQUIRIES, "results.query.v1", False),
        ("ann", "publish", topology.OPERATORS, "rates.control.v1", False),
        ("ann", "publish", topology.FLOW, "chunk.processed.v1", False),
        ("ann", "publish", topology.EVENTS, "batch.finished.v1.noop.ann", False),
        ("ann", "publish", topology.WORK, TASKS, False),
        ("ann", "publish", topology.DEAD, topology.INGEST_COMMANDS.name, False),
        ("ann", "publish", "", topology.AGGREGATOR_OUTCOMES.name, False),
        ("ann", "bind", topology.EVENTS, "batch.finished.v1.noop.ann", True),
        ("ann", "bind", topology.EVENTS, "batch.finished.v1.*.ann", True),
        ("ann", "bind", topology.EVENTS, "batch.finished.v1.*.bob", False),
        ("ann", "bind", topology.EVENTS, "batch.finished.v1.#", False),
        ("ann", "bind", topology.EVENTS, "#", False),
        ("ann", "bind", topology.EVENTS, "*.*.*.*.ann", False),
        ("ann", "bind", topology.FLOW, "batch.accepted.v1", False),
        ("ann", "consume", topology.DISPATCHER_PAGES.name, "", False),
        ("ann", "consume", topology.INGEST_COMMANDS.dead_name, "", False),
        ("ann", "declare", "work.mine.normal", "", False),
        ("ann", "declare", "batchyard.client.ann.inbox", "", True),
        ("ann", "declare", "batchyard.client.bob.inbox", "", False),
        ("ann", "publish", topology.REPLIES, topology.reply_queue("bob", TOKEN), False),
        ("ann", "bind", topology.REPLIES, topology.reply_queue("ann", TOKEN), True),
        ("ann", "bind", topology.REPLIES, topology.reply_queue("bob", TOKEN), False),
        ("ann", "bind", topology.REPLIES, topology.reply_queue("ann", "*"), False),
        ("ann", "bind", topology.REPLIES, topology.reply_queue("*", TOKEN), False),
        ("ann", "bind", topology.REPLIES, "#", False),
        ("ann", "declare", topology.reply_queue("bob", TOKEN), "", False),
        ("ann", "consume", topology.reply_queue("bob", TOKEN), "", False),
        ("worker", "publish", "", topology.AGGREGATOR_OUTCOMES.name, False),
        ("worker", "publish", topology.REPLIES, topology.reply_queue("ann", TOKEN), True),
        ("worker", "bind", topology.REPLIES, topology.reply_queue("worker", TOKEN), True),
        ("worker", "bind", topology.REPLIES, topology.reply_queue("ingest", TOKEN), False),
        ("worker", "bind", topology.REPLIES, "#", False),
        ("worker", "bind", topology.FLOW, "batch.stopped.v1", True),
        ("worker", "bind", topology.FLOW, "batch.accepted.v1", False),
        ("worker", "publish", topology.DEAD, TASKS, True),
        ("worker", "publish", topology.DEAD, topology.INGEST_COMMANDS.name, False),
        ("worker", "publish", topology.FLOW, "chunk.processed.v1", True),
        ("worker", "publish", topology.FLOW, "batch.accepted.v1", False),
        ("worker", "publish", topology.FLOW, "batch.controlled.v1", False),
        ("worker", "publish", topology.FLOW, "batch.remedied.v1", False),
        ("worker", "publish", topology.FLOW, "deletion.requested.v1", False),
        ("worker", "publish", topology.FLOW, "deletion.completed.v1", False),
        ("worker", "publish", topology.COMMANDS, "batch.submit.v1", False),
        ("worker", "publish", topology.EVENTS, "batch.finished.v1.noop.ann", False),
        ("worker", "publish", topology.WORK, TASKS, False),
        ("worker", "publish", topology.QUERIES, "results.query.v1", False),
        ("worker", "publish", topology.INQUIRIES, "results.query.v1", False),
        ("worker", "publish", topology.WORKER_INQUIRIES, "results.query.v1", True),
        ("ann", "publish", topology.WORKER_INQUIRIES, "results.query.v1", False),
        ("notifier", "publish", topology.WORKER_INQUIRIES, "results.query.v1", False),
        ("worker", "consume", topology.AGGREGATOR_OUTCOMES.name, "", False),
        ("worker", "consume", topology.WORKER_CACHE.name, "", True),
        ("worker", "declare", "work.mine.normal", "", False),
        ("notifier", "publish", topology.FLOW, "notifier.announced.v1", True),
        ("notifier", "publish", topology.FLOW, "chunk.processed.v1", False),
        ("notifier", "publish", topology.FLOW, "deletion.completed.v1", True),
        ("notifier", "publish", topology.FLOW, "deletion.requested.v1", False),
        ("notifier", "publish", topology.INQUIRIES, "failures.query.v1", True),
        ("notifier", "consume", topology.NOTIFIER_INBOX.name, "", True),
        ("notifier", "consume", topology.AGGREGATOR_OUTCOMES.name, "", False),
        ("dispatcher", "publish", topology.WORK, TASKS, True),
        ("dispatcher", "publish", topology.COMMANDS, "batch.submit.v1", False),
        ("dispatcher", "consume", topology.AGGREGATOR_OUTCOMES.name, "", False),
        ("aggregator", "publish", topology.EVENTS, "batch.finished.v1.noop.ann", True),
        ("aggregator", "publish", topology.COMMANDS, "batch.submit.v1", False),
        ("aggregator", "declare", topology.AGGREGATOR_OUTCOMES.name, "", False),
        ("ingest", "publish", topology.WORK, TASKS, False),
        ("ingest", "consume", topology.AGGREGATOR_OUTCOMES.name, "", False),
        ("operator", "publish", topology.OPERATORS, "rates.control.v1", True),
        ("operator", "publish", topology.FLOW, "batch.accepted.v1", False),
        ("operator", "consume", topology.AGGREGATOR_OUTCOMES.dead_name, "", True),
        ("operator", "consume", topology.AGGREGATOR_OUTCOMES.name, "", False),
        ("topology", "declare", "work.mine.normal", "", True),
    ],
)
async def test_a_user_can_do_what_it_needs_and_no_more(
    brokers: Mapping[str, str], user: str, operation: Operation, name: str, key: str, is_allowed: bool
) -> None:
    connection = await aio_pika.connect(brokers[user])
    async with connection:
        try:
            await _attempt(await connection.channel(), user, operation, name, key)
        except ChannelAccessRefused:
            was_allowed = False
        else:
            was_allowed = True
    assert was_allowed == is_allowed


async def _attempt(channel: aio_pika.abc.AbstractChannel, user: str, operation: Operation, name: str, key: str) -> None:
    if operation == "publish":
        exchange = await channel.get_exchange(name, ensure=False) if name else channel.default_exchange
        await exchange.publish(aio_pika.Message(b"{}"), key, mandatory=False)
    elif operation == "bind":
        queue = await channel.declare_queue(topology.reply_queue(user, uuid.uuid4().hex), exclusive=True)
        await queue.bind(name, key)
    elif operation == "consume":
        queue = await channel.get_queue(name, ensure=False)
        await queue.get(fail=False)
    else:
        await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
