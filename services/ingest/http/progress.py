"""WS /batches/{id}/progress: where a batch stands, then each step, then its end."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from services.ingest.api.service import Door
from services.ingest.domain.fault import Fault
from services.ingest.domain.refused import Refused
from services.ingest.http import problems
from services.ingest.http.tokens import PROTOCOL
from services.ingest.progress.hub import Watcher

_SEND_S = 20.0
"""A client that takes nothing for so long is let go."""
_FULL = Fault("too_many_websockets", "All places for watching are taken. Poll GET /batches/{id}, or try again.", 503)
_FOREIGN = Fault("forbidden_origin", "Pages of other sites may not watch batches.", 403)
_TRY_AGAIN_LATER = 1013
_GOING_AWAY = 1001


def routes(door: Door, owner_of: Callable[[WebSocket], str], max_websockets: int) -> APIRouter:
    """The route, for owners as `owner_of` tells them."""
    router = APIRouter()

    @router.websocket("/batches/{batch_id}/progress")
    async def progress(socket: WebSocket, batch_id: UUID) -> None:
        try:
            owner = _admit(socket, owner_of, door.watchers.count < max_websockets)
            await door.header(owner, batch_id)
        except Refused as error:
            await socket.send_denial_response(problems.response(error.fault, socket.url.path))
            return
        await socket.accept(PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", []) else None)
        async with door.watchers.watch(owner, batch_id) as watcher:
            sending = asyncio.create_task(_show(door, owner, batch_id, socket, watcher))
            try:
                await _until_gone(socket, sending)
            finally:
                sending.cancel()
                with suppress(asyncio.CancelledError, WebSocketDisconnect, Refused, TimeoutError):
                    await sending

    return router


def _admit(socket: WebSocket, owner_of: Callable[[WebSocket], str], room: bool) -> str:
    owner = owner_of(socket)
    origin = socket.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != socket.headers.get("host"):
        raise Refused(_FOREIGN)
    if not room:
        raise Refused(_FULL)
    return owner


async def _until_gone(socket: WebSocket, sending: asyncio.Task[None]) -> None:
    """Return when the client has left or everything was sent. What the client says is not listened to."""
    while not sending.done():
        receiving = asyncio.create_task(socket.receive())
        await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done():
            receiving.cancel()
            return
        if receiving.result()["type"] == "websocket.disconnect":
            return


async def _show(door: Door, owner: str, batch_id: UUID, socket: WebSocket, watcher: Watcher) -> None:
    checking: asyncio.Task[None] | None = None
    try:
        first = await door.first_frame(owner, batch_id)
        watcher.offer(first)
        if not first.final:  # the snapshot may be from before the end: the ledger knows
            checking = asyncio.create_task(_catch_up(door, owner, batch_id))
        while True:
            frame = await watcher.next()
            async with asyncio.timeout(_SEND_S):
                await socket.send_text(frame.body.decode())
            if frame.final:
                await socket.close()
                return
    except Refused as error:
        await socket.close(_TRY_AGAIN_LATER, error.fault.code)
    except TimeoutError:
        await socket.close(_GOING_AWAY)
    finally:
        if checking is not None:
            checking.cancel()


async def _catch_up(door: Door, owner: str, batch_id: UUID) -> None:
    with suppress(Refused):
        await door.catch_up(owner, batch_id)
