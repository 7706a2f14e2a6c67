"""WS /batches/{id}/progress: the current progress of a batch, each further step, and its end."""

import asyncio
from contextlib import AsyncExitStack, suppress
from uuid import UUID

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from services.ingest.api.service import IngestService
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.http import problems
from services.ingest.http.access import PROTOCOL, Access
from services.ingest.progress.hub import Watcher

_SEND_TIMEOUT_S = 20.0
"""Seconds after which a client that does not read is disconnected."""
_TOO_MANY_WEBSOCKETS = Rejection(
    "too_many_websockets", "The limit of WebSockets is reached. Poll GET /batches/{id}, or try again.", 503
)
_UPGRADE_REQUIRED = Rejection(
    "upgrade_required", "Progress is sent over a WebSocket. Open one at this address, or poll GET /batches/{id}.", 426
)
_TRY_AGAIN_LATER = 1013
_GOING_AWAY = 1001
_KEY_HAS_ENDED = 1008


def routes(service: IngestService, access: Access, max_websockets: int) -> APIRouter:
    """Return the route."""
    router = APIRouter()
    watched_owner = access.any_owner("batches:read").of_socket

    @router.get("/batches/{batch_id}/progress", include_in_schema=False)
    async def require_upgrade(batch_id: UUID) -> None:
        raise IngestError(_UPGRADE_REQUIRED)

    @router.websocket("/batches/{batch_id}/progress")
    async def progress(socket: WebSocket, batch_id: UUID) -> None:
        async with AsyncExitStack() as stack:
            try:
                owner = await watched_owner(socket)
                stack.enter_context(access.limits.websocket(owner))
                if service.progress_hub.watcher_count >= max_websockets:
                    raise IngestError(_TOO_MANY_WEBSOCKETS)
                await service.header(owner, batch_id)
            except IngestError as error:
                await socket.send_denial_response(problems.problem_response(error.rejection, socket.url.path))
                return
            await _serve(socket, owner, batch_id)

    async def _serve(socket: WebSocket, owner: str, batch_id: UUID) -> None:
        await socket.accept(PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", []) else None)
        async with service.progress_hub.watch(owner, batch_id) as watcher:
            sending = asyncio.create_task(_send_progress(service, owner, batch_id, socket, watcher))
            allowed = asyncio.create_task(access.wait_until_ended(socket))
            try:
                await _wait_until_disconnected(socket, sending, allowed)
            finally:
                for task in (sending, allowed):
                    task.cancel()
                    with suppress(asyncio.CancelledError, WebSocketDisconnect, IngestError, TimeoutError):
                        await task

    return router


async def _wait_until_disconnected(socket: WebSocket, sending: asyncio.Task[None], allowed: asyncio.Task[None]) -> None:
    """Wait until the client has disconnected, everything was sent, or its key has ended. Messages of the client are
    ignored."""
    while not sending.done():
        receiving = asyncio.create_task(socket.receive())
        await asyncio.wait({receiving, sending, allowed}, return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done():
            receiving.cancel()
            if not sending.done():
                sending.cancel()
                await socket.close(_KEY_HAS_ENDED, "unauthorized")
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
