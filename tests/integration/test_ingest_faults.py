"""Servers that fail and recover: nothing is lost, nothing is a 500, and no service has to be restarted."""

import asyncio
import json
from typing import Any

import orjson
import pytest

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.flow import BatchAccepted
from batchyard_contracts.v1.values import NewItem
from devstack import Servers
from tests.support.patience import PATIENCE_S, until
from tests.support.running_ingest import IngestHarness, running_ingest
from tests.support.tcp_proxy import TcpProxy

BODY = {"workload": "squares", "items": [{"payload": {"n": 1}}]}


async def wait_until_accepted(harness: IngestHarness) -> None:
    await until(lambda: harness.post("/batches", json=BODY), lambda answer: answer[0] == 202, pause_s=0.1)


async def test_without_the_database_http_replies_503_with_retry_after(clean: Servers) -> None:
    async with TcpProxy(clean.database_url) as proxy, running_ingest(clean, database_url=proxy.url) as harness:
        proxy.refuse()
        for path, options in (
            ("/batches", {"json": BODY}),
            ("/batches?workload=squares", {"data": b'{"n": 1}', "headers": {"Content-Type": "application/x-ndjson"}}),
        ):
            async with harness.http.post(harness.url + path, **options) as response:
                problem: Any = json.loads(await response.read())
                assert (response.status, problem["code"]) == (503, "unavailable"), problem
                assert response.headers["Retry-After"] == "1"
        proxy.mend()
        await wait_until_accepted(harness)


async def test_without_the_database_commands_wait(clean: Servers) -> None:
    async with TcpProxy(clean.database_url) as proxy, running_ingest(clean, database_url=proxy.url) as harness:
        proxy.refuse()
        command = BatchSubmit(workload="squares", items=[NewItem(payload={"n": 1})])
        waiting = await harness.begin_command(command.type, command.encode())
        await asyncio.sleep(0.5)  # time in which a wrong rejection would arrive
        assert not waiting.done()
        proxy.mend()
        async with asyncio.timeout(PATIENCE_S):
            reply = CommandAccepted.decode((await waiting).body)
        (announced,) = await harness.wait_for(BatchAccepted)
        assert announced.batch_id == reply.batch_id


async def test_a_lost_broker_connection_loses_no_command(clean: Servers) -> None:
    async with TcpProxy(clean.amqp_url) as proxy, running_ingest(clean, amqp_url=proxy.url) as harness:
        commands = [BatchSubmit(workload="squares", items=[NewItem(payload={"n": n})]) for n in range(40)]
        waiting = []
        for number, command in enumerate(commands):
            waiting.append(await harness.begin_command(command.type, command.encode(), message_id=f"m{number}"))
            if number in (10, 25):
                proxy.cut()
        # An answer may be lost with the connection: who misses it sends the command again, under the same id.
        _, unanswered = await asyncio.wait(waiting, timeout=5)
        for number, command in enumerate(commands):
            if waiting[number] in unanswered:
                waiting[number] = await harness.begin_command(command.type, command.encode(), message_id=f"m{number}")
        async with asyncio.timeout(PATIENCE_S):
            replies = await asyncio.gather(*waiting)
        assert {reply.type for reply in replies} == {CommandAccepted.type}
        ids = {CommandAccepted.decode(reply.body).batch_id for reply in replies}
        assert len(ids) == len(commands)
        await harness.wait_until(lambda: {each.batch_id for each in harness.all(BatchAccepted)} == ids)
        assert len(await harness.rows("SELECT FROM batches")) == len(commands)


@pytest.mark.parametrize("fault", ["frozen", "gone"])
async def test_without_redis_submissions_and_progress_continue(clean: Servers, fault: str) -> None:
    async with TcpProxy(clean.redis_url) as proxy, running_ingest(clean, redis_url=proxy.url) as harness:
        proxy.hold_answers() if fault == "frozen" else proxy.refuse()
        body = b"".join(orjson.dumps({"n": n % 600}) + b"\n" for n in range(1200))
        status, accepted = await harness.post(
            "/batches?workload=squares", data=body, headers={"Content-Type": "application/x-ndjson"}
        )
        assert (status, accepted["items"]) == (202, 1200)
        proxy.mend()
        (announced,) = await harness.wait_for(BatchAccepted)
        assert announced.total == 1200
