"""One WebSocket carries many topics, each with the newest data, and ends with its key."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID, uuid4

import aiohttp
import pytest

from batchyard_contracts import topology
from batchyard_contracts.api_keys import new_api_key
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, EndsQuery, EndsReply, LoadQuery, LoadReply
from devstack import Servers
from services.ingest.progress.subscription import MAX_SUBSCRIPTIONS
from services.ingest.queries.overview_reader import OverviewReader
from tests.integration.test_ingest_result_stream import FakeAggregator, batch
from tests.support.patience import PATIENCE_S
from tests.support.running_ingest import IngestHarness, running_ingest

BODY = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
OPERATOR_KEY = new_api_key("test")


class Client:
    """A client of the stream, which remembers all frames."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    async def sub(self, topic: str, id_: str = "x", **fields: Any) -> None:
        await self.socket.send_json({"op": "sub", "id": id_, "topic": topic, **fields})

    async def next(self, kind: str) -> dict[str, Any]:
        """Wait for a frame of a kind."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for number, frame in enumerate(self.frames):
                    if frame["kind"] == kind:
                        return self.frames.pop(number)
                self.frames += json.loads(await self.socket.receive_str())

    async def closed(self) -> int | None:
        """Wait for the end of the stream; return its close code."""
        async with asyncio.timeout(PATIENCE_S):
            while (message := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
        return self.socket.close_code


@asynccontextmanager
async def stream(harness: IngestHarness, **options: Any) -> AsyncIterator[Client]:
    async with harness.http.ws_connect(f"{harness.url}/stream", **options) as socket:
        hello = json.loads(await socket.receive_str())
        assert (hello["type"], hello["beat_s"], datetime.fromisoformat(hello["time"]).tzinfo) == ("hello", 15.0, UTC)
        yield Client(socket)


def progressed(batch_id: UUID, done: int = 1, owner: str = "default") -> BatchProgressed:
    fields = {"batch_id": batch_id, "owner": owner, "workload": "squares", "round": 1, "status": "running"}
    counts = {"total": 9, "succeeded": done, "remaining": 9 - done}
    return BatchProgressed.model_validate(fields | {"counts": counts, "at": datetime.now(UTC)})


def finished(batch_id: UUID) -> BatchFinished:
    at = datetime.now(UTC)
    fields = {"batch_id": batch_id, "owner": "default", "workload": "squares", "round": 1, "result": "completed"}
    return BatchFinished.model_validate(fields | {"counts": {"succeeded": 9}, "accepted_at": at, "finished_at": at})


async def test_a_batch_is_followed_to_its_end(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[])
        batch = UUID((await harness.post("/batches", json=BODY))[1]["batch_id"])
        async with stream(harness) as client:
            await client.sub(f"batch/{batch}", every_ms=50)
            first = await client.next("snapshot")
            assert (first["id"], first["seq"], first["data"]["batch_id"]) == ("x", 1, str(batch))
            await harness.publish(topology.EVENTS, progressed(batch, 4))
            assert (await client.next("change"))["data"]["counts"]["succeeded"] == 4
            await harness.publish(topology.EVENTS, finished(batch))
            assert (await client.next("end"))["data"]["result"] == "completed"


async def test_the_batches_of_an_owner_are_told_as_they_change_and_no_others(clean: Servers) -> None:
    async with running_ingest(clean) as harness, stream(harness) as client:
        await client.sub("batches", every_ms=50)
        await client.sub("overview", "o")
        await client.next("snapshot")  # of the overview, so that the other subscription has begun
        mine = uuid4()
        await harness.publish(topology.EVENTS, progressed(uuid4(), owner="bob"))
        await harness.publish(topology.EVENTS, progressed(mine))
        frame = await client.next("change")
        assert (frame["id"], [batch["batch_id"] for batch in frame["data"]]) == ("x", [str(mine)])
        await client.socket.send_json({"op": "unsub", "id": "x"})


async def test_the_overview_is_sent_when_it_changes(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        harness.answers[EndsQuery] = lambda _: EndsReply()
        running = 1
        harness.answers[LoadQuery] = lambda _: LoadReply(in_flight=running)
        async with stream(harness) as client:
            await client.sub("overview")
            assert (await client.next("snapshot"))["data"]["items"]["running"] == 1
            running = 2
            assert (await client.next("change"))["data"]["items"]["running"] == 2


async def test_an_operator_who_names_an_owner_sees_the_overview_of_that_owner(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        owners: list[str | None] = []

        def load(query: LoadQuery) -> LoadReply:
            owners.append(query.owner)
            return LoadReply()

        harness.answers[LoadQuery] = load
        operator = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        for address in (f"{harness.url}/stream?owner=ann", f"{harness.url}/stream"):
            async with harness.http.ws_connect(address, headers=operator) as socket:
                await socket.receive_str()
                client = Client(socket)
                await client.sub("overview")
                await client.next("snapshot")
        assert owners == ["ann", None]


async def test_a_foreign_batch_is_an_error_of_its_topic_alone(clean: Servers) -> None:
    async with running_ingest(clean) as harness, stream(harness) as client:
        await client.sub(f"batch/{uuid4()}", "a")
        await client.sub("batch/" + "-" * 36, "b")
        found = [await client.next("error") for _ in range(2)]
        assert {(one["id"], one["data"]["code"]) for one in found} == {
            ("a", "batch_not_found"), ("b", "invalid_request"),
        }  # fmt: skip
        await client.sub("overview", "o")
        await client.next("snapshot")


@pytest.mark.parametrize(
    "message",
    [
        "no JSON", "{}", '{"op": "sub", "id": "x", "topic": "secrets"}', '{"op": "sub", "topic": "overview"}',
        '{"op": "sub", "id": "x", "topic": "overview", "every_ms": 1}', '{"op": "unsub"}',
        '{"op": "' + 100 * "\N{PILE OF POO}" + '"}', b'{"op": "unsub", "id": "x"}',
    ],
    ids=range(8),
)  # fmt: skip
async def test_a_message_that_is_none_ends_the_stream(clean: Servers, message: str | bytes) -> None:
    async with running_ingest(clean) as harness, stream(harness) as client:
        await (client.socket.send_bytes(message) if isinstance(message, bytes) else client.socket.send_str(message))
        assert await client.closed() == 1007


async def test_a_topic_that_fails_ends_the_stream(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OverviewReader, "read", AsyncMock(side_effect=ConnectionResetError))
    async with running_ingest(clean) as harness, stream(harness) as client:
        await client.sub("overview")
        assert await client.closed() == 1013


async def test_too_many_subscriptions_end_the_stream(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        async with stream(harness) as client:
            for number in range(MAX_SUBSCRIPTIONS + 1):
                await client.sub("batches", str(number))
            assert await client.closed() == 1013
        async with stream(harness) as client:
            for _ in range(2 * MAX_SUBSCRIPTIONS):
                await client.sub("batches", "the same")
            await client.sub("overview", "o")
            await client.next("snapshot")


async def test_streams_are_limited_and_need_a_key(clean: Servers) -> None:
    async with running_ingest(clean, max_websockets=1) as harness:
        assert (await harness.get("/stream"))[0] == 426
        async with stream(harness):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await harness.http.ws_connect(f"{harness.url}/stream")
            assert refused.value.status == 503
        async with asyncio.timeout(PATIENCE_S):
            while True:  # the place is free once the server has seen the end of the first
                try:
                    async with stream(harness) as client:
                        await client.sub("overview")
                        await client.next("snapshot")
                    break
                except aiohttp.WSServerHandshakeError:
                    await asyncio.sleep(0.05)


async def test_a_stream_ends_with_its_key(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await harness.http.ws_connect(f"{harness.url}/stream")
        assert refused.value.status == 401
        operator = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        made = {"name": "a key", "owner": "ann", "scopes": ["batches:read"]}
        key = (await harness.post("/keys", json=made, headers=operator))[1]
        async with stream(harness, headers={"Authorization": f"Bearer {key['key']}"}) as client:
            async with harness.http.delete(f"{harness.url}/keys/{key['id']}", headers=operator) as response:
                assert response.status == 200
            assert await client.closed() == 4401


async def test_results_of_a_batch_come_once_and_continue_by_cursor(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        ledger = FakeAggregator()
        ledger.recorded = [4, 2]
        batch_id = await batch(harness, ledger)
        async with stream(harness) as client:
            await client.sub(f"results/{batch_id}", every_ms=20)
            first = await client.next("results")
            assert [(item["ordinal"], item["cursor"]) for item in first["data"]] == [(4, "c1.1"), (2, "c2.1")]
            ledger.recorded += [0]
            assert [item["ordinal"] for item in (await client.next("results"))["data"]] == [0]
            await client.sub(f"results/{batch_id}", "again", every_ms=20, cursor="c1.1")
            assert [item["ordinal"] for item in (await client.next("results"))["data"]] == [2, 0]
            ledger.has_ended = True
            ends = [await client.next("end"), await client.next("end")]
            assert sorted(end["id"] for end in ends) == ["again", "x"]
            assert not [frame for frame in client.frames if frame["kind"] == "results"]


async def test_a_slow_client_of_results_misses_none(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        ledger = FakeAggregator()
        ledger.recorded, ledger.has_ended = list(range(3500)), True
        batch_id = await batch(harness, ledger)
        async with stream(harness) as client:
            await client.sub(f"results/{batch_id}", every_ms=300)
            await client.next("end")
            found = [item["ordinal"] for frame in client.frames for item in frame.get("data") or []]
            assert found == list(range(3500))
            assert len([frame for frame in client.frames if frame["kind"] == "results"]) > 1


async def test_results_need_their_scope(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        operator = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        form = {"owner": "ann", "name": "reader", "scopes": ["batches:read"]}
        status, key = await harness.post("/keys", json=form, headers=operator)
        assert status == 201, key
        async with stream(harness, headers={"Authorization": f"Bearer {key['key']}"}) as client:
            await client.sub(f"results/{uuid4()}")
            assert (await client.next("error"))["data"]["code"] == "forbidden"
