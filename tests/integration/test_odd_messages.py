"""Messages with AMQP properties that nobody can decode cost themselves alone."""

import pytest

from batchyard_contracts import topology
from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.events import BatchRejected
from batchyard_contracts.v1.flow import BatchAccepted
from batchyard_contracts.v1.values import NewItem
from devstack import Servers
from tests.support.odd_messages import ODD_PROPERTIES, odd_channel, publish_odd
from tests.support.patience import until
from tests.support.running_ingest import IngestHarness, running_ingest
from tests.support.tcp_proxy import TcpProxy

COMMANDS = topology.INGEST_COMMANDS
PATH = f"/dead-letters/{COMMANDS.name}"


def command(name: str) -> bytes:
    return BatchSubmit(workload="squares", name=name, items=[NewItem(payload={"n": 1})]).encode()


async def listed(harness: IngestHarness, count: int) -> list[dict[str, str]]:
    """Return the dead letters of commands as soon as there are so many."""

    async def ask() -> list[dict[str, str]]:
        status, answer = await harness.get("/dead-letters", params={"queue": COMMANDS.name, "limit": 100})
        assert status == 200
        found: list[dict[str, str]] = answer["dead_letters"]
        return found

    return await until(ask, lambda found: len(found) == count)


async def test_odd_properties_cost_their_message_alone(clean: Servers) -> None:
    async with (
        TcpProxy(clean.amqp_url) as proxy,
        running_ingest(clean, amqp_url=proxy.url) as harness,
        odd_channel(clean.amqp_url) as channel,
    ):
        connections = proxy.connections
        expected = {"first", "last"}
        await publish_odd(channel, topology.COMMANDS, b"batch.submit.v1", BatchSubmit.type, command("first"), {})
        for what, properties in ODD_PROPERTIES.items():
            body, neighbour = command(what), command(f"after {what}")
            await publish_odd(channel, topology.COMMANDS, b"batch.submit.v1", BatchSubmit.type, body, properties)
            await publish_odd(channel, topology.COMMANDS, b"batch.submit.v1", BatchSubmit.type, neighbour, {})
            expected.add(f"after {what}")
        await publish_odd(channel, topology.COMMANDS, b"batch.submit.\xff", BatchSubmit.type, command("key"), {})
        await publish_odd(channel, topology.COMMANDS, b"batch.submit.v1", BatchSubmit.type, command("last"), {})

        await harness.wait_until(lambda: {one.name for one in harness.all(BatchAccepted)} >= expected)
        await harness.wait_until(lambda: len(harness.all(BatchRejected)) == len(ODD_PROPERTIES) + 1)
        assert proxy.connections == connections
        letters = await listed(harness, len(ODD_PROPERTIES))

        assert all("The AMQP propert" in letter["reason"] for letter in letters)
        assert {one.name for one in harness.all(BatchAccepted)} == expected
        assert {one.code for one in harness.all(BatchRejected)} == {"invalid_properties", "not_permitted"}
        (time,) = (letter for letter in letters if '"microseconds"' in letter["body"])
        assert (await harness.post(f"{PATH}/replay", json={"ids": [time["id"]]}))[1]["count"] == 1
        await harness.wait_until(lambda: any(one.name == "microseconds" for one in harness.all(BatchAccepted)))
        assert (await harness.post(f"{PATH}/drop", json={"all": True}))[1]["count"] == len(ODD_PROPERTIES) - 1
        assert await listed(harness, 0) == []


@pytest.mark.parametrize("action", ["drop", "replay"])
async def test_a_dead_letter_with_odd_properties_of_its_own_is_listed_and_ends(clean: Servers, action: str) -> None:
    async with running_ingest(clean) as harness, odd_channel(clean.amqp_url) as channel:
        for what, properties in ODD_PROPERTIES.items():
            dead = COMMANDS.dead_name.encode()
            await publish_odd(channel, "", dead, BatchSubmit.type, command(what), properties)

        letters = await listed(harness, len(ODD_PROPERTIES))

        assert all("The AMQP propert" in letter["reason"] for letter in letters)
        ids = [letter["id"] for letter in letters]
        assert (await harness.post(f"{PATH}/{action}", json={"ids": ids}))[1]["count"] == len(ids)
        if action == "replay":
            kept = {"microseconds", "far past", "header name", "deep headers", "large headers"}
            await harness.wait_until(lambda: {one.name for one in harness.all(BatchAccepted)} >= kept)
