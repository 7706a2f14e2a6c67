"""/dead-letters: messages that could not be handled, for operators."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from batchyard_contracts import topology
from services.ingest.api.service import IngestService
from services.ingest.domain.caller import Caller
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.http import body
from services.ingest.http.access import READ, Access
from services.ingest.http.models import DeadLetterRequest
from services.ingest.http.openapi import problem_responses, request_body
from services.ingest.persistence.audit_log import ALL_OWNERS
from shared.messaging.dead_letter_message import DeadLetter
from shared.messaging.dead_queue import MAX_LISTED, DeadQueue, NotReplayable, dead_queues

_PREVIEW_CHARS = 300
_Action = Literal["replay", "drop"]
_ACTIONS: dict[_Action, tuple[str, str]] = {
    "replay": ("Replay dead letters", "Dead letters return to their original queue."),
    "drop": ("Drop dead letters", "Dead letters are deleted for good."),
}
_STATUSES = (401, 403, 404, 422, 503)


class DeadLetterView(BaseModel):
    """A dead letter."""

    id: str
    queue: str
    type: str
    reason: str
    at: datetime | None = Field(None, description="time at which it was dead-lettered")
    bytes: int
    body: str = Field(description=f"whole body; in a list its first {_PREVIEW_CHARS} characters")


class DeadQueueView(BaseModel):
    """A queue, and the number of its dead letters."""

    queue: str
    count: int


class DeadLetterList(BaseModel):
    """Queues with dead letters, and the oldest dead letters."""

    queues: list[DeadQueueView]
    dead_letters: list[DeadLetterView]


class DeadLetterActionResult(BaseModel):
    """Result of an action: the number of dead letters that it applied to."""

    queue: str
    count: int


class _DeadLetterOperations:
    """Reads and changes dead letters, one request at a time: letters that one request inspects are invisible to
    another."""

    def __init__(self, service: IngestService, url: str) -> None:
        self._service, self._url, self._lock = service, url, asyncio.Lock()

    @asynccontextmanager
    async def open_queues(self, queue: str | None) -> AsyncIterator[list[tuple[str, DeadQueue]]]:
        """Open the dead letters of one queue, or of all."""
        work_queues = [
            queue for workload in self._service.registry.all() for queue in topology.work_queues(workload.manifest.name)
        ]
        known = [queue.name for queue in (*topology.QUEUES, *work_queues) if queue.dead_queue() is not None]
        if queue is not None and queue not in known:
            raise IngestError(
                Rejection("unknown_queue", f"There is no queue {queue!r}. Known: {', '.join(known)}.", 404)
            )
        wanted = known if queue is None else [queue]
        async with self._lock, dead_queues(self._url, wanted) as found:
            yield list(zip(wanted, found, strict=True))

    async def overview(self, queue: str | None, limit: int, chars: int) -> DeadLetterList:
        """Return the queues with their counts, and the first dead letters, each with `chars` of its body."""
        queues: list[DeadQueueView] = []
        dead_letters: list[DeadLetterView] = []
        async with self.open_queues(queue) as found:
            for name, dead in found:
                if count := await dead.count():
                    queues.append(DeadQueueView(queue=name, count=count))
                    dead_letters += [
                        _to_view(dead_letter, chars)
                        for dead_letter in await dead.find(lambda _: True, limit - len(dead_letters))
                    ]
        return DeadLetterList(queues=queues, dead_letters=dead_letters)

    async def get(self, queue: str, dead_letter_id: str) -> DeadLetterView:
        """Return a dead letter with its whole body."""
        async with self.open_queues(queue) as ((_, dead),):
            found = await dead.find(lambda dead_letter: dead_letter.id == dead_letter_id, 1)
        if not found:
            detail = f"{queue} has no dead letter {dead_letter_id!r} among its first {MAX_LISTED}."
            raise IngestError(Rejection("dead_letter_not_found", detail, 404))
        return _to_view(found[0], None)

    async def process(self, queue: str, action: _Action, request: DeadLetterRequest) -> DeadLetterActionResult:
        """Replay or drop dead letters."""
        if request.all == bool(request.ids):
            raise IngestError(Rejection("invalid_request", "Name dead letters in `ids`, or say `all`."))
        ids = set(request.ids)
        async with self.open_queues(queue) as ((_, dead),):
            apply = dead.replay if action == "replay" else dead.drop
            try:
                done = await apply(
                    lambda dead_letter: request.all or dead_letter.id in ids,
                    min(request.limit, len(ids) or request.limit),
                )
            except NotReplayable as error:
                raise IngestError(Rejection("not_replayable", str(error), 409)) from error
        if ids and not done:
            raise IngestError(Rejection("dead_letter_not_found", f"{queue} has none of these dead letters.", 404))
        return DeadLetterActionResult(queue=queue, count=len(done))


def routes(service: IngestService, access: Access, url: str) -> APIRouter:
    """Return the routes."""
    operations = _DeadLetterOperations(service, url)
    router = APIRouter(tags=["operators"], dependencies=[Depends(access.caller("operate"))])

    @router.get("/dead-letters", summary="List dead letters", responses=problem_responses(*_STATUSES))
    async def list_all(
        caller: Annotated[Caller, Depends(access.caller("operate"))],
        queue: str | None = None,
        limit: Annotated[int, Query(ge=0, le=100)] = 20,
    ) -> DeadLetterList:
        """Messages that no service could handle, with the reasons. They stay in their queues. Bodies hold data of
        owners: a key without the scope `payloads:read` gets none."""
        chars = _PREVIEW_CHARS if "payloads:read" in caller.scopes and limit else 0
        if chars:
            await access.audit.record(READ, ALL_OWNERS, queue or "dead letters")
        return await operations.overview(queue, limit, chars)

    @router.get(
        "/dead-letters/{queue}/{dead_letter_id}",
        summary="Show a dead letter",
        responses=problem_responses(*_STATUSES),
        dependencies=[Depends(access.caller("payloads:read"))],
    )
    async def show(queue: str, dead_letter_id: str) -> DeadLetterView:
        """A dead letter with its whole body."""
        await access.audit.record(READ, ALL_OWNERS, queue, {"dead_letter": dead_letter_id})
        return await operations.get(queue, dead_letter_id)

    for action, (summary, description) in _ACTIONS.items():
        router.add_api_route(
            f"/dead-letters/{{queue}}/{action}",
            _act(operations, access, action),
            methods=["POST"],
            name=action,
            summary=summary,
            description=description,
            responses=problem_responses(400, *_STATUSES, 409, 413, 415),
            openapi_extra=request_body("DeadLetterRequest", {"ids": ["4f1c…"]}),
        )
    return router


def _act(
    operations: _DeadLetterOperations, access: Access, action: _Action
) -> Callable[..., Awaitable[DeadLetterActionResult]]:
    """Return the function of the route of one action."""

    async def act(queue: str, request: Request) -> DeadLetterActionResult:
        wanted = cast("DeadLetterRequest", await body.read_message(request, DeadLetterRequest))
        named = {"all": True} if wanted.all else {"ids": len(wanted.ids)}
        await access.audit.record(f"dead_letters.{action}", ALL_OWNERS, queue, named)
        return await operations.process(queue, action, wanted)

    return act


def _to_view(dead_letter: DeadLetter, limit: int | None) -> DeadLetterView:
    return DeadLetterView(
        id=dead_letter.id,
        queue=dead_letter.queue,
        type=dead_letter.type,
        reason=dead_letter.reason,
        at=dead_letter.at,
        bytes=len(dead_letter.body),
        body=dead_letter.body[: None if limit is None else 4 * limit].decode(errors="replace")[:limit],
    )
