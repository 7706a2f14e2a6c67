"""Progress over WebSocket: current state, each step, and the end; only for the owner; also after a fault."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import redis.asyncio

from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, BatchState
from batchyard_contracts.v1.values import Counts
from devstack import Servers
from tests.support.patience import PATIENCE_S, until
from tests.support.running_ingest import IngestHarness, running_ingest
from tests.support.tcp_proxy import TcpProxy

TOTAL = 10
AT = datetime(2026, 1, 1, tzinfo=UTC)


def progressed(batch_id: UUID, succeeded: int, round_: int = 1) -> BatchProgressed:
    return BatchProgressed(
        workload="squares",
        owner="default",
        batch_id=batch_id,
        round=round_,
        status="running",
        counts=Counts(total=TOTAL, succeeded=succeeded, remaining=TOTAL - succeeded),
        at=AT,
    )


def finished(batch_id: UUID) -> BatchFinished:
    return BatchFinished(
        workload="squares",
        owner="default",
        batch_id=batch_id,
        round=1,
        result="completed",
        counts=Counts(total=TOTAL, succeeded=TOTAL),
        accepted_at=AT,
        finished_at=AT,
    )


def aggregator_replies(harness: IngestHarness, state: BatchProgressed | BatchFinished | None) -> None:
    def answer(query: BatchesQuery) -> BatchesReply:
        if state is None or state.batch_id not in (query.batch_ids or []):
            return BatchesReply(batches=[])
        values = {"status": "finished", "accepted_at": AT, "priority": "normal"} | state.model_dump()
        return BatchesReply(batches=[BatchState.model_validate(values)])

    harness.answers[BatchesQuery] = answer


async def batch(harness: IngestHarness, headers: dict[str, str] | None = None) -> UUID:
    items = [{"payload": {"n": n}} for n in range(TOTAL)]
    _, accepted = await harness.post("/batches", json={"workload": "squares", "items": items}, headers=headers)
    return UUID(accepted["batch_id"])


@asynccontextmanager
async def socket(
    harness: IngestHarness, batch_id: UUID, **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with harness.http.ws_connect(f"{harness.url}/batches/{batch_id}/progress", **options) as opened:
        yield opened


async def save(servers: Servers, event: BatchProgressed | BatchFinished) -> None:
    """Save a snapshot in Redis."""
    client = redis.asyncio.from_url(servers.redis_url)
    body = json.dumps(json.loads(event.encode()) | {"type": event.type})
    await client.set(f"ingest:progress:{event.batch_id}", body)
    await client.aclose()


async def next_snapshot(opened: aiohttp.ClientWebSocketResponse) -> Any:
    return json.loads(await opened.receive_str(timeout=30))


async def until_closed(opened: aiohttp.ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(PATIENCE_S):
        message = await opened.receive()
    assert message.type is aiohttp.WSMsgType.CLOSE
    return opened.close_code


async def until_kept(client: redis.asyncio.Redis, batch_id: UUID, kind: str) -> None:
    """Wait until the newest event of a batch in Redis is of this type."""
    await until(lambda: client.get(f"ingest:progress:{batch_id}"), lambda value: kind.encode() in (value or b""))


async def test_a_watcher_gets_each_step_until_the_end(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        aggregator_replies(harness, None)
        batch_id = await batch(harness)
        async with socket(harness, batch_id) as opened:
            first = await next_snapshot(opened)
            assert (first["type"], first["batch_id"]) == ("batch.progressed.v1", str(batch_id))
            assert (first["counts"]["total"], first["counts"]["remaining"]) == (TOTAL, TOTAL)
            for succeeded in (1, 4):
                event = progressed(batch_id, succeeded)
                await harness.publish(EVENTS, event)
                assert await next_snapshot(opened) == json.loads(event.encode()) | {"type": event.type}
            end = finished(batch_id)
            await harness.publish(EVENTS, end)
            assert await next_snapshot(opened) == json.loads(end.encode()) | {"type": end.type}
            assert await until_closed(opened) == 1000


async def test_a_late_watcher_gets_the_saved_snapshot(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        aggregator_replies(harness, None)
        batch_id = await batch(harness)
        client = redis.asyncio.from_url(clean.redis_url)
        for event in (progressed(batch_id, 3), finished(batch_id)):
            await harness.publish(EVENTS, event)
            await until_kept(client, batch_id, event.type)
            async with socket(harness, batch_id) as opened:
                assert (await next_snapshot(opened))["counts"]["succeeded"] == event.counts.succeeded
        assert 0 < await client.ttl(f"ingest:progress:{batch_id}") <= 24 * 3600
        await client.aclose()


async def test_without_a_snapshot_the_aggregator_is_queried(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        aggregator_replies(harness, finished(batch_id))
        async with socket(harness, batch_id) as opened:
            assert (await next_snapshot(opened))["result"] == "completed"
            assert await until_closed(opened) == 1000


async def test_an_old_snapshot_is_compared_with_the_aggregator(clean: Servers) -> None:
    """The end came while this process did not consume events: Redis still has an earlier snapshot."""
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        await save(clean, progressed(batch_id, 3))
        aggregator_replies(harness, finished(batch_id))
        async with socket(harness, batch_id) as opened:
            frames = [await next_snapshot(opened)]
            while frames[-1]["type"] != "batch.finished.v1":
                frames.append(await next_snapshot(opened))
        assert frames[-1]["counts"]["succeeded"] == TOTAL


async def test_the_end_of_an_earlier_round_is_not_final(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        end = finished(batch_id)
        await save(clean, end)
        aggregator_replies(harness, progressed(batch_id, 9, round_=2))
        async with socket(harness, batch_id) as opened:
            assert (await next_snapshot(opened))["round"] == 2
            await harness.publish(EVENTS, end.model_copy(update={"round": 2}))
            assert (await next_snapshot(opened))["type"] == "batch.finished.v1"
            assert await until_closed(opened) == 1000


async def test_events_missed_while_the_broker_was_unavailable_are_caught_up(clean: Servers) -> None:
    async with TcpProxy(clean.amqp_url) as proxy, running_ingest(clean, amqp_url=proxy.url) as harness:
        aggregator_replies(harness, None)
        batch_id = await batch(harness)
        async with socket(harness, batch_id) as opened:
            await next_snapshot(opened)
            proxy.refuse()
            await harness.publish(EVENTS, finished(batch_id))
            aggregator_replies(harness, finished(batch_id))
            proxy.mend()
            frame = await next_snapshot(opened)
            while frame["type"] != "batch.finished.v1":
                frame = await next_snapshot(opened)
            assert await until_closed(opened) == 1000
        async with socket(harness, await batch(harness)) as opened:
            watched = UUID((await next_snapshot(opened))["batch_id"])
            await harness.publish(EVENTS, progressed(watched, 2))
            assert (await next_snapshot(opened))["counts"]["succeeded"] == 2


async def test_only_the_owner_may_watch(clean: Servers) -> None:
    tokens = {"ann": "a-token-for-the-tests", "bob": "b-token-for-the-tests"}
    async with running_ingest(clean, api_tokens=tokens) as harness:
        aggregator_replies(harness, None)
        ann, bob = ({"Authorization": f"Bearer {token}"} for token in tokens.values())
        await harness.announce(headers=ann)
        batch_id = await batch(harness, ann)
        own_page = {"Origin": harness.url.removesuffix("/api/v1")}
        foreign = {"Origin": "https://evil.example"}
        for headers, status in ((bob, 404), ({}, 401), ({"Authorization": "Bearer x"}, 401), (ann | foreign, 403)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as rejected:
                async with socket(harness, batch_id, headers=headers):
                    pass
            assert rejected.value.status == status
        async with socket(harness, batch_id, headers=ann | own_page) as opened:
            await next_snapshot(opened)
        async with socket(harness, batch_id, protocols=("batchyard", f"bearer.{tokens['ann']}")) as opened:
            assert opened.protocol == "batchyard"
            await next_snapshot(opened)
        async with harness.http.get(f"{harness.url}/batches/{batch_id}/progress", headers=ann) as response:
            assert (response.status, response.headers["Upgrade"]) == (426, "websocket")


async def test_the_number_of_websockets_is_limited(clean: Servers) -> None:
    async with running_ingest(clean, max_websockets=1) as harness:
        aggregator_replies(harness, None)
        batch_id = await batch(harness)
        async with socket(harness, batch_id) as opened:
            await next_snapshot(opened)
            with pytest.raises(aiohttp.WSServerHandshakeError) as rejected:
                async with socket(harness, batch_id):
                    pass
            assert rejected.value.status == 503
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    async with socket(harness, batch_id) as again:
                        await next_snapshot(again)
                    break
                except aiohttp.WSServerHandshakeError:
                    await asyncio.sleep(0.02)  # the server learns of the close a moment later
