"""WS /stream: many topics over one WebSocket, each with the newest data alone."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, suppress
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
import structlog
from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError

from batchyard_contracts import __version__
from batchyard_contracts.v1.queries import StreamOrder
from batchyard_contracts.v1.values import StreamCursor
from services.ingest.api.service import IngestService
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.scope import Scope, missing_scopes
from services.ingest.http import problems
from services.ingest.http.access import PROTOCOL, Access, caller_of, lacks_scopes
from services.ingest.http.overview import overview_view
from services.ingest.progress.subscription import MAX_SUBSCRIPTIONS, Subscription, Subscriptions, error_data
from services.ingest.queries.overview_reader import OverviewReader
from services.ingest.queries.result_stream import ResultStream, StreamSelection

log = structlog.get_logger()
BEAT_S = 15.0
"""Seconds after which a stream that has nothing to send sends an empty array."""
_SEND_TIMEOUT_S = 20.0
_OVERVIEW_S = 2.0
"""Shortest time between two overviews."""
_TOO_MANY_WEBSOCKETS = Rejection("too_many_websockets", "The limit of WebSockets is reached. Poll, or try again.", 503)
_UPGRADE_REQUIRED = Rejection(
    "upgrade_required", "Topics are sent over a WebSocket. Open one at this address, or poll.", 426
)
_GOING_AWAY, _INVALID_MESSAGE, _TRY_AGAIN_LATER, _UNAUTHORIZED = 1001, 1007, 1013, 4401
_MAX_REASON_BYTES = 120
_Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Subscribe(BaseModel):
    """Message of a client that begins a subscription."""

    op: Literal["sub"]
    id: _Id
    topic: Annotated[str, StringConstraints(pattern=r"^(overview|batches|(batch|results)/[0-9a-f-]{36})$")]
    every_ms: Annotated[int, Field(ge=20, le=60_000)] = 250
    order: StreamOrder = "completion"
    cursor: StreamCursor | None = None


class Unsubscribe(BaseModel):
    """Message of a client that ends a subscription."""

    op: Literal["unsub"]
    id: _Id


_MESSAGE: TypeAdapter[Subscribe | Unsubscribe] = TypeAdapter(
    Annotated[Subscribe | Unsubscribe, Field(discriminator="op")]
)


def routes(
    service: IngestService,
    overviews: OverviewReader,
    access: Access,
    clock: Callable[[], datetime],
    max_websockets: int,
) -> APIRouter:
    """Return the route."""
    router = APIRouter()
    owner_of = access.any_owner("batches:read").of_socket

    @router.get("/stream", include_in_schema=False)
    async def require_upgrade() -> None:
        raise IngestError(_UPGRADE_REQUIRED)

    @router.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        async with AsyncExitStack() as stack:
            try:
                owner = await owner_of(socket)
                stack.enter_context(access.limits.websocket(owner))
                if service.progress_hub.watcher_count >= max_websockets:
                    raise IngestError(_TOO_MANY_WEBSOCKETS)
            except IngestError as error:
                await socket.send_denial_response(problems.problem_response(error.rejection, socket.url.path))
                return
            stack.enter_context(service.progress_hub.count_watcher())
            await socket.accept(PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", []) else None)
            hello = {"type": "hello", "time": clock().isoformat(), "version": __version__, "beat_s": BEAT_S}
            await socket.send_text(orjson.dumps(hello).decode())
            await _Stream(service, overviews, access, socket, owner).run(access.wait_until_ended(socket))

    return router


class _Stream:
    """One connected client."""

    def __init__(
        self, service: IngestService, overviews: OverviewReader, access: Access, socket: WebSocket, owner: str
    ) -> None:
        self._service, self._overviews, self._access, self._socket = service, overviews, access, socket
        self._owner, self._caller = owner, caller_of(socket)
        self._subscriptions = Subscriptions()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def run(self, until_ended: Coroutine[None, None, None]) -> None:
        """Serve the client until it disconnects, sends what is no message, reads too slowly, or its key ends.

        A topic that fails ends the stream, too: the client connects again, and does not wait for data in vain.
        """
        reading = asyncio.create_task(self._read())
        sending = asyncio.create_task(self._send())
        allowed = asyncio.create_task(until_ended)
        try:
            ends: set[asyncio.Future[Any]] = {reading, sending, allowed, self._failed}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            sending.cancel()
            if self._failed.done():
                log.error("a topic of a stream failed", error=repr(self._failed.result()))
                await self._socket.close(_TRY_AGAIN_LATER, "try_again")
            elif allowed.done() and not reading.done():
                await self._socket.close(_UNAUTHORIZED, "unauthorized")
        finally:
            for task in (reading, sending, allowed, *self._tasks.values()):
                task.cancel()
            await asyncio.gather(reading, sending, allowed, *self._tasks.values(), return_exceptions=True)

    async def _read(self) -> None:
        """Read messages until the client disconnects or sends what is none."""
        while (received := await self._socket.receive())["type"] != "websocket.disconnect":
            try:
                message = _MESSAGE.validate_json(received.get("text") or "")  # bytes are no message
            except ValidationError as error:
                reason = f"invalid_message: {error}".encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
                await self._socket.close(_INVALID_MESSAGE, reason)
                return
            self._end(message.id)
            if isinstance(message, Subscribe):
                if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
                    await self._socket.close(_TRY_AGAIN_LATER, "too_many_subscriptions")
                    return
                self._begin(message)

    async def _send(self) -> None:
        """Send what is due, and an empty array when nothing was for a while."""
        while True:
            frames: list[dict[str, object]] = []
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    frames = await self._subscriptions.next_frames()
            try:
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await self._socket.send_text(orjson.dumps(frames).decode())
            except TimeoutError:
                await self._socket.close(_GOING_AWAY)
                return

    def _begin(self, message: Subscribe) -> None:
        every_s = message.every_ms / 1000
        subscription = Subscription(message.id, max(every_s, _OVERVIEW_S) if message.topic == "overview" else every_s)
        self._subscriptions.add(subscription)
        self._tasks[message.id] = task = asyncio.create_task(self._feed(message, subscription))
        task.add_done_callback(self._on_feed_end)

    def _on_feed_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_result(error)

    def _end(self, id_: str) -> None:
        self._subscriptions.remove(id_)
        if task := self._tasks.pop(id_, None):
            task.cancel()

    async def _feed(self, message: Subscribe, subscription: Subscription) -> None:
        """Put data into a subscription until it ends."""
        topic = message.topic
        try:
            if topic == "overview":
                await self._feed_overview(subscription)
            elif topic == "batches":
                with self._service.progress_hub.watch_owner(self._owner, subscription):
                    await asyncio.Event().wait()
            elif topic.startswith("results/"):
                await self._feed_results(UUID(topic.removeprefix("results/")), message, subscription)
            else:
                await self._feed_batch(UUID(topic.removeprefix("batch/")), subscription)
        except IngestError as error:
            subscription.put("error", error_data(error.rejection.code, error.rejection.detail))
        except ValueError:
            subscription.put("error", error_data("invalid_request", "The topic names no batch."))

    async def _feed_overview(self, subscription: Subscription) -> None:
        names_owner = self._socket.query_params.get("owner") is not None
        owner = None if self._caller.is_operator and not names_owner else self._owner
        last = b""
        while True:
            found = await self._overviews.read(owner, with_dead_letters=self._caller.is_operator)
            view = overview_view(found)
            current = view.model_dump_json(exclude_none=True, exclude={"at"}).encode()
            if current != last:
                subscription.put(
                    "change" if last else "snapshot", orjson.Fragment(view.model_dump_json(exclude_none=True))
                )
                last = current
            await asyncio.sleep(subscription.every_s)

    async def _feed_batch(self, batch_id: UUID, subscription: Subscription) -> None:
        await self._service.header(self._owner, batch_id)
        async with self._service.progress_hub.watch(self._owner, batch_id, is_counted=False) as watcher:
            watcher.offer(await self._service.initial_snapshot(self._owner, batch_id))
            kind = "snapshot"
            catching_up = asyncio.create_task(self._catch_up(batch_id))
            try:
                while True:
                    snapshot = await watcher.next()
                    subscription.put("end" if snapshot.final else kind, orjson.Fragment(snapshot.body))
                    kind = "change"
            finally:
                catching_up.cancel()

    async def _feed_results(self, batch_id: UUID, message: Subscribe, subscription: Subscription) -> None:
        """Put the outcomes of a batch after a cursor, each once, until the batch has ended."""
        others: tuple[Scope, ...] = () if self._owner == self._caller.owner else ("payloads:read",)
        if missing := missing_scopes(("results:read", *others), self._caller.scopes):
            raise IngestError(lacks_scopes(missing))
        await self._service.header(self._owner, batch_id)
        selection = StreamSelection(self._owner, batch_id, message.order, message.cursor)
        hub = self._service.progress_hub
        with self._access.limits.websocket(self._owner):
            async with (
                hub.watch(self._owner, batch_id, is_counted=False) as progress,
                aclosing(ResultStream(self._service.aggregator, selection, progress).pages()) as pages,
            ):
                async for page in pages:
                    if page.items:
                        items = await asyncio.to_thread(page.joined, b",")
                        await subscription.put_in_turn("results", orjson.Fragment(b"[" + items + b"]"))
        subscription.put("end", {"batch_id": str(batch_id)})

    async def _catch_up(self, batch_id: UUID) -> None:
        with suppress(IngestError):
            await self._service.catch_up(self._owner, batch_id)
