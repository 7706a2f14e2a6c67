"""WS /batches/{id}/progress: the current progress of a batch, each further step, and its end."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from services.ingest.api.service import IngestService
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.http import problems
from services.ingest.http.tokens import PROTOCOL
from services.ingest.progress.hub import Watcher

_SEND_TIMEOUT_S = 20.0
"""Seconds after which a client that does not read is disconnected."""
_TOO_MANY_WEBSOCKETS = Rejection(
    "too_many_websockets", "The limit of WebSockets is reached. Poll GET /batches/{id}, or try again.", 503
)
_FORBIDDEN_ORIGIN = Rejection("forbidden_origin", "Pages of other origins may not watch batches.", 403)
_UPGRADE_REQUIRED = Rejection(
    "upgrade_required", "Progress is sent over a WebSocket. Open one at this address, or poll GET /batches/{id}.", 426
)
_TRY_AGAIN_LATER = 1013
_GOING_AWAY = 1001


def routes(service: IngestService, owner_of: Callable[[WebSocket], str], max_websockets: int) -> APIRouter:
    """Return the route; `owner_of` authenticates a connection."""
    router = APIRouter()

    @router.get("/batches/{batch_id}/progress", include_in_schema=False)
    async def require_upgrade(batch_id: UUID) -> None:
        raise IngestError(_UPGRADE_REQUIRED)

    @router.websocket("/batches/{batch_id}/progress")
    async def progress(socket: WebSocket, batch_id: UUID) -> None:
        try:
            owner = _authorize(socket, owner_of, service.progress_hub.watcher_count < max_websockets)
            await service.header(owner, batch_id)
        except IngestError as error:
            await socket.send_denial_response(problems.problem_response(error.rejection, socket.url.path))
            return
        await socket.accept(PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", []) else None)
        async with service.progress_hub.watch(owner, batch_id) as watcher:
            sending = asyncio.create_task(_send_progress(service, owner, batch_id, socket, watcher))
            try:
                await _wait_until_disconnected(socket, sending)
            finally:
                sending.cancel()
                with suppress(asyncio.CancelledError, WebSocketDisconnect, IngestError, TimeoutError):
                    await sending

    return router


def _authorize(socket: WebSocket, owner_of: Callable[[WebSocket], str], has_room: bool) -> str:
    owner = owner_of(socket)
    origin = socket.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != socket.headers.get("host"):
        raise IngestError(_FORBIDDEN_ORIGIN)
    if not has_room:
        raise IngestError(_TOO_MANY_WEBSOCKETS)
    return owner


async def _wait_until_disconnected(socket: WebSocket, sending: asyncio.Task[None]) -> None:
    """Wait until the client has disconnected, or everything was sent. Messages of the client are ignored."""
    while not sending.done():
        receiving = asyncio.create_task(socket.receive())
        await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done():
            receiving.cancel()
            return
        if receiving.result()["type"] == "websocket.disconnect":
            return


async def _send_progress(
    service: IngestService, owner: str, batch_id: UUID, socket: WebSocket, watcher: Watcher
) -> None:
    catching_up: asyncio.Task[None] | None = None
    try:
        first = await service.initial_snapshot(owner, batch_id)
        watcher.offer(first)
        if not first.final:  # the saved snapshot may be out of date
            catching_up = asyncio.create_task(_catch_up(service, owner, batch_id))
        while True:
            snapshot = await watcher.next()
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                await socket.send_text(snapshot.body.decode())
            if snapshot.final:
                await socket.close()
                return
    except IngestError as error:
        await socket.close(_TRY_AGAIN_LATER, error.rejection.code)
    except TimeoutError:
        await socket.close(_GOING_AWAY)
    finally:
        if catching_up is not None:
            catching_up.cancel()


async def _catch_up(service: IngestService, owner: str, batch_id: UUID) -> None:
    with suppress(IngestError):
        await service.catch_up(owner, batch_id)
