"""/dead-letters: messages that could not be handled, for operators."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, ClassVar, Literal, cast

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from batchyard_contracts import topology
from batchyard_contracts.message import Command
from services.ingest.api.service import Door
from services.ingest.domain.fault import Fault
from services.ingest.domain.refused import Refused
from services.ingest.http import body
from services.ingest.http.openapi import problem_responses
from shared.messaging.dead_queue import MAX_LOOKED_AT, DeadLetter, DeadQueue, NotReplayable, dead_queues

_FIRST_BYTES = 300
NO_OPERATOR = Fault("forbidden", "Only operators may do this: owners that BATCHYARD_OPERATORS names.", 403)
_STATUSES = (401, 403, 404, 422, 503)


class DeadLetterView(BaseModel):
    """A dead letter."""

    id: str
    queue: str
    type: str
    reason: str
    at: datetime | None = Field(None, description="time at which it was dead-lettered")
    bytes: int
    body: str = Field(description=f"whole body; in a list its first {_FIRST_BYTES} characters")


class DeadQueueView(BaseModel):
    """A queue, and how many of its messages could not be handled."""

    queue: str
    count: int


class DeadLetterList(BaseModel):
    """Queues that have dead letters, and the oldest of these."""

    queues: list[DeadQueueView]
    dead_letters: list[DeadLetterView]


class DeadLetterRequest(Command):
    """Dead letters of a queue to act on: those named in `ids`, or all."""

    type: ClassVar[str] = "dead_letters.work.v1"
    ids: Annotated[list[str], Field(max_length=MAX_LOOKED_AT)] = Field(default=[])
    all: bool = False
    limit: Annotated[int, Field(ge=1, le=10_000)] = 10_000


class DeadLetterActionResult(BaseModel):
    """Result of an action: the number of dead letters that it applied to."""

    queue: str
    count: int


class _Desk:
    """Works the dead letters of all queues, one request at a time: what one looks at, another would not see."""

    def __init__(self, door: Door, url: str) -> None:
        self._door, self._url, self._turn = door, url, asyncio.Lock()

    @asynccontextmanager
    async def opened(self, queue: str | None) -> AsyncIterator[list[tuple[str, DeadQueue]]]:
        """One queue, or all."""
        work = [queue for known in self._door.registry.all() for queue in topology.work_queues(known.manifest.name)]
        known = [queue.name for queue in (*topology.QUEUES, *work) if queue.dead_queue() is not None]
        if queue is not None and queue not in known:
            raise Refused(Fault("unknown_queue", f"There is no queue {queue!r}. Known: {', '.join(known)}.", 404))
        wanted = known if queue is None else [queue]
        async with self._turn, dead_queues(self._url, wanted) as found:
            yield list(zip(wanted, found, strict=True))

    async def listed(self, queue: str | None, limit: int) -> DeadLetterList:
        """Queues with their counts, and the first letters."""
        queues: list[DeadQueueView] = []
        dead_letters: list[DeadLetterView] = []
        async with self.opened(queue) as found:
            for name, dead in found:
                if count := await dead.count():
                    queues.append(DeadQueueView(queue=name, count=count))
                    dead_letters += [
                        _view(x, _FIRST_BYTES) for x in await dead.look(lambda _: True, limit - len(dead_letters))
                    ]
        return DeadLetterList(queues=queues, dead_letters=dead_letters)

    async def one(self, queue: str, letter_id: str) -> DeadLetterView:
        """A letter with its whole body."""
        async with self.opened(queue) as ((_, dead),):
            found = await dead.look(lambda x: x.id == letter_id, 1)
        if not found:
            detail = f"{queue} has no dead letter {letter_id!r} among its first {MAX_LOOKED_AT}."
            raise Refused(Fault("dead_letter_not_found", detail, 404))
        return _view(found[0], None)

    async def work(
        self, queue: str, action: Literal["replay", "drop"], asked: DeadLetterRequest
    ) -> DeadLetterActionResult:
        """Send letters back, or drop them."""
        if asked.all == bool(asked.ids):
            raise Refused(Fault("invalid_request", "Name dead letters in `ids`, or say `all`."))
        ids = set(asked.ids)
        async with self.opened(queue) as ((_, dead),):
            act = dead.replay if action == "replay" else dead.drop
            try:
                done = await act(lambda x: asked.all or x.id in ids, min(asked.limit, len(ids) or asked.limit))
            except NotReplayable as error:
                raise Refused(Fault("not_replayable", str(error), 409)) from error
        if ids and not done:
            raise Refused(Fault("dead_letter_not_found", f"{queue} has none of these dead letters.", 404))
        return DeadLetterActionResult(queue=queue, count=len(done))


def routes(
    door: Door, owner_of: Callable[..., Awaitable[str]], url: str, operators: Collection[str] | None
) -> APIRouter:
    """The routes; `operators` None: everybody is one."""
    desk = _Desk(door, url)

    async def operator(owner: Annotated[str, Depends(owner_of)]) -> None:
        if operators is not None and owner not in operators:
            raise Refused(NO_OPERATOR)

    router = APIRouter(tags=["operators"], dependencies=[Depends(operator)])

    @router.get("/dead-letters", summary="List dead letters", responses=problem_responses(*_STATUSES))
    async def listed(queue: str | None = None, limit: Annotated[int, Query(ge=0, le=100)] = 20) -> DeadLetterList:
        """Messages that no service could handle, with the reason. They stay where they are."""
        return await desk.listed(queue, limit)

    @router.get(
        "/dead-letters/{queue}/{letter_id}", summary="Show a dead letter", responses=problem_responses(*_STATUSES)
    )
    async def show(queue: str, letter_id: str) -> DeadLetterView:
        """One letter with its whole body."""
        return await desk.one(queue, letter_id)

    @router.post(
        "/dead-letters/{queue}/{action}",
        summary="Replay or drop dead letters",
        responses=problem_responses(400, *_STATUSES, 409, 413, 415),
        openapi_extra={"requestBody": {"required": True, "content": {body.JSON: {"example": {"ids": ["4f1c…"]}}}}},
    )
    async def work(queue: str, action: Literal["replay", "drop"], request: Request) -> DeadLetterActionResult:
        """`replay` sends them back to the queue that they came from; `drop` deletes them for ever."""
        return await desk.work(queue, action, cast("DeadLetterRequest", await body.read(request, DeadLetterRequest)))

    return router


def _view(letter: DeadLetter, most: int | None) -> DeadLetterView:
    return DeadLetterView(
        id=letter.id,
        queue=letter.queue,
        type=letter.type,
        reason=letter.reason,
        at=letter.at,
        bytes=len(letter.body),
        body=letter.body[: None if most is None else 4 * most].decode(errors="replace")[:most],
    )
