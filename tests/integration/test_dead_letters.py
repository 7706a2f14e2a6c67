"""Dead letters on a real broker: listed, replayed and dropped, only by operators."""

from typing import Any

import aio_pika

from batchyard_contracts import topology
from devstack import Servers
from shared.messaging.dead_queue import dead_queues
from shared.messaging.topology import declare
from tests.support.patience import until
from tests.support.running_ingest import IngestHarness, connect_harness, running_ingest, start_ingest

BAD = topology.AGGREGATOR_CONTROL


async def reject(servers: Servers, bodies: list[bytes], **headers: Any) -> None:
    """Publish and reject messages, as when a handler has failed too often."""
    connection = await aio_pika.connect(servers.amqp_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(BAD.name)
        for number, body in enumerate(bodies):
            message = aio_pika.Message(body, message_id=f"m{number}", type="batch.sealed.v1", headers=headers)
            await channel.default_exchange.publish(message, BAD.name)
            got = await queue.get(timeout=5)
            assert got is not None
            await got.reject(requeue=False)
        dead = await channel.get_queue(BAD.dead_name)
        await until(dead.declare, lambda declared: declared.message_count == len(bodies))


async def count(servers: Servers, queue: str) -> int:
    """Return the number of messages in a queue."""
    connection = await aio_pika.connect(servers.amqp_url)
    async with connection:
        channel = await connection.channel()
        declared = await channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0


async def first(harness: IngestHarness) -> Any:
    """Return the list of dead letters as soon as there is one."""
    _, listed = await until(lambda: harness.get("/dead-letters"), lambda answer: answer[1]["dead_letters"])
    return listed


async def test_dead_letters_are_listed_replayed_and_dropped(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        assert await harness.get("/dead-letters") == (200, {"queues": [], "dead_letters": []})
        await reject(clean, [b"{%d}" % n for n in range(30)], traceparent="t")
        for _ in range(25):  # RabbitMQ 4 drops a message after twenty returns
            status, listed = await harness.get("/dead-letters", params={"queue": BAD.name, "limit": 3})
            assert (status, [queue["queue"] for queue in listed["queues"]]) == (200, [BAD.name])
            assert len(listed["dead_letters"]) == 3
        # What was looked at comes back a moment later.
        await until(lambda: count(clean, BAD.dead_name), lambda number: number == 30)
        dead_letter = listed["dead_letters"][0]
        assert (dead_letter["type"], dead_letter["bytes"] > 2) == ("batch.sealed.v1", True)
        assert "rejected" in dead_letter["reason"]
        assert dead_letter["at"]

        path = f"/dead-letters/{BAD.name}"
        assert (await harness.get(f"{path}/m7"))[1]["body"] == "{7}"
        assert (await harness.get(f"{path}/missing"))[1]["code"] == "dead_letter_not_found"
        assert (await harness.post(f"{path}/replay", json={"ids": ["m7", "m9"]})) == (
            200,
            {"queue": BAD.name, "count": 2},
        )
        assert await count(clean, BAD.name) == 2
        assert (await harness.post(f"{path}/replay", json={"ids": ["m7"]}))[0] == 404
        assert (await harness.post(f"{path}/drop", json={"all": True, "limit": 5}))[1]["count"] == 5
        assert await count(clean, BAD.dead_name) == 23
        assert (await harness.post(f"{path}/replay", json={"all": True}))[1]["count"] == 23
        assert (await count(clean, BAD.name), await count(clean, BAD.dead_name)) == (25, 0)
        for document in ({}, {"all": True, "ids": ["m1"]}, {"al": True}):
            assert (await harness.post(f"{path}/drop", json=document))[0] == 422
        assert (await harness.get("/dead-letters", params={"queue": "nonsense"}))[0] == 404


async def test_a_dead_letter_of_a_service_is_replayed_unchanged(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await harness.hear_no_events()
        await harness.begin_command("batch.submit.v1", b"{", message_id="mine", reply_to=None)
        listed = await first(harness)
        (dead_letter,) = listed["dead_letters"]
        assert dead_letter["queue"] == topology.INGEST_COMMANDS.name
        assert "Not a valid batch.submit.v1" in dead_letter["reason"]
        path = f"/dead-letters/{dead_letter['queue']}"
        assert (await harness.post(f"{path}/replay", json={"ids": [dead_letter["id"]]}))[1]["count"] == 1
        again = await first(harness)  # ingest cannot handle it this time either
        assert again["dead_letters"][0]["id"] != dead_letter["id"]
        message = await harness.dead_letter()
        assert message.headers["x-batchyard-message-id"] == "mine"


async def test_a_dead_letter_of_another_user_is_not_replayed(clean: Servers) -> None:
    connection = await aio_pika.connect_robust(clean.amqp_url)
    async with connection:
        await declare(connection)
    await reject(clean, [b"1"], **{"x-batchyard-user": "ann"})
    async with running_ingest(clean) as harness:
        answer = await harness.post(f"/dead-letters/{BAD.name}/replay", json={"all": True})
        assert (answer[0], answer[1]["code"]) == (409, "not_replayable")
        assert "'ann'" in answer[1]["detail"]
    assert await count(clean, BAD.dead_name) == 1


async def test_only_operators_may_list_and_drop_dead_letters(clean: Servers) -> None:
    tokens = {"ann": "a" * 20, "eve": "e" * 20}
    async with (
        start_ingest(clean, api_tokens=tokens, operators=["ann"]) as port,
        connect_harness(clean, port) as harness,
    ):
        for name, status in (("ann", 200), ("eve", 403)):
            headers = {"Authorization": f"Bearer {tokens[name]}"}
            assert (await harness.get("/dead-letters", headers=headers))[0] == status
        assert (await harness.post(f"/dead-letters/{BAD.name}/drop", json={"all": True}))[0] == 401


async def test_a_missing_queue_has_no_dead_letters(clean: Servers) -> None:
    async with dead_queues(clean.amqp_url, ["work.none.low", BAD.name]) as (missing, _):
        assert await missing.count() == 0
        assert await missing.drop(lambda _: True, 10) == []
