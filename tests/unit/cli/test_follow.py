"""A batch is followed to its end, whatever happens to the connection on the way."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from services.cli.client import follow as following
from services.cli.client.address import Address
from services.cli.client.follow import follow
from services.cli.client.http_client import open_client
from services.cli.errors import NotFound, NotReachable
from tests.support.patience import PATIENCE_S
from tests.unit.cli.conftest import BATCH, FakeCluster, state

END = state(status="finished", result="completed", counts={"total": 4, "succeeded": 4})


async def results(cluster: FakeCluster) -> list[str | None]:
    async with asyncio.timeout(PATIENCE_S), open_client(Address(cluster.url)) as client:
        return [snapshot.result async for snapshot in follow(client, BATCH, poll_s=0.01)]


async def test_without_a_websocket_it_is_asked_again_and_again(cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}", state(), state(), END)
    assert await results(cluster) == [None, None, "completed"]


async def test_a_websocket_that_breaks_is_opened_again(cluster: FakeCluster) -> None:
    async def one_frame(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json(_progressed())
        assert request.transport is not None
        request.transport.abort()
        return socket

    cluster.answer(f"GET /batches/{BATCH}", state(), state(), END)
    cluster.answer(f"GET /batches/{BATCH}/progress", one_frame)
    assert await results(cluster) == [None, None, None, None, "completed"]


async def test_a_cluster_that_is_away_for_a_moment_is_waited_for(cluster: FakeCluster) -> None:
    async def restarting(_: web.Request) -> web.Response:
        return web.Response(status=503)

    cluster.answer(f"GET /batches/{BATCH}", state(), restarting, END)
    assert await results(cluster) == [None, "completed"]


async def test_a_cluster_that_stays_away_is_given_up(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MAX_UNAVAILABLE_S", 0.05)
    cluster.answer(f"GET /batches/{BATCH}", state(), {"detail": "away"}, status=503)
    with pytest.raises(NotReachable):
        await results(cluster)


async def test_a_limit_of_requests_is_waited_for(cluster: FakeCluster) -> None:
    async def limited(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "0"})

    cluster.answer(f"GET /batches/{BATCH}", state(), limited, limited, END)
    assert await results(cluster) == [None, "completed"]


async def test_a_batch_that_is_not_there_is_said_so(cluster: FakeCluster) -> None:
    with pytest.raises(NotFound):
        await results(cluster)


def _progressed() -> dict[str, Any]:
    return {
        "type": "batch.progressed.v1",
        "batch_id": BATCH,
        "workload": "tracklists",
        "owner": "default",
        "round": 1,
        "status": "running",
        "counts": {"total": 4, "succeeded": 2, "remaining": 2},
        "at": "2026-11-21T20:00:05Z",
    }


async def test_while_nothing_happens_the_reason_is_asked_for(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        return socket

    monkeypatch.setattr(following, "QUIET_S", 0.01)
    waiting = {"waiting": {"code": "no_worker", "detail": "No live worker runs it."}}
    cluster.answer(f"GET /batches/{BATCH}", state(), state(**waiting), END)
    cluster.answer(f"GET /batches/{BATCH}/progress", silent)
    async with asyncio.timeout(PATIENCE_S), open_client(Address(cluster.url)) as client:
        found = [snapshot.waiting and snapshot.waiting.code async for snapshot in follow(client, BATCH, poll_s=0.01)]
    assert found == [None, "no_worker", None]
