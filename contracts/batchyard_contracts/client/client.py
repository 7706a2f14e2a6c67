"""Submits batches, waits for them, steers them and reads what came of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from batchyard_contracts import topology
from batchyard_contracts.client.errors import (
    BatchRefused,
    ClientError,
    NoAnswer,
    NotConnected,
    NotFinished,
    QuestionRefused,
    UnknownBatch,
)
from batchyard_contracts.client.following import Events
from batchyard_contracts.client.line import LOST, Line
from batchyard_contracts.client.packing import Items, parts
from batchyard_contracts.client.requests import APP_ID, DEFAULT_OWNER, Requests
from batchyard_contracts.client.subscription import Subscription
from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.message import Command, Message
from batchyard_contracts.v1 import commands, queries
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.values import (
    BatchId,
    ErrorCode,
    IdempotencyKey,
    ItemResult,
    NewItem,
    Notify,
    Owner,
    Payload,
    Priority,
    Reuse,
    Selection,
    TerminalStatus,
    Terms,
    WorkloadName,
)

COMMAND_TIMEOUT_S = 30.0
QUESTION_TIMEOUT_S = 10.0
ROOM_PATIENCE_S = 600.0
"""How long `submit` waits, in the midst of a long list, for room for the next items."""
_GIVE_UP_S = 5.0
ReplyT = TypeVar("ReplyT", bound=Message)


class Client:
    """A connection to Batchyard for one owner. Open it with `connect`; it may be shared by any number of tasks."""

    def __init__(self, requests: Requests, subscription: Subscription, owner: str, *, command_timeout_s: float) -> None:
        self._requests = requests
        self._subscription = subscription
        self._owner = owner
        self._command_timeout_s = command_timeout_s

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str,
        *,
        owner: Owner = DEFAULT_OWNER,
        command_timeout_s: float = COMMAND_TIMEOUT_S,
        traceparent: Callable[[], str | None] = lambda: None,
    ) -> AsyncIterator[Self]:
        """Connect to RabbitMQ; raises `NotConnected` or `BrokerRefused`.

        `owner` is the RabbitMQ user of the URL, or "default". `traceparent` gives the W3C trace context to send along.
        """
        TypeAdapter(Owner).validate_python(owner)
        asking, listening = Line(url, f"{APP_ID}-ask"), Line(url, f"{APP_ID}-listen")
        try:
            await asking.connection()
        except LOST as error:
            raise NotConnected(f"{NotConnected.__doc__} ({type(error).__name__}: {error})") from error
        try:
            requests, subscription = Requests(asking, owner, traceparent), Subscription(listening, owner)
            yield cls(requests, subscription, owner, command_timeout_s=command_timeout_s)
        finally:
            await asking.close()
            await listening.close()

    async def submit(
        self,
        workload: WorkloadName,
        items: Items,
        *,
        priority: Priority = "normal",
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: IdempotencyKey | None = None,
        notify: Notify | None = None,
        batch_id: BatchId | None = None,
        terms: Terms | None = None,
        reuse: Reuse | None = None,
    ) -> commands.CommandAccepted:
        """Start a batch and return when it is durable; items that do not fit one command follow in further ones.

        Raises `BatchRefused`, `BadItem`, `NoAnswer`, `BrokerRefused`. After `NoAnswer`, or a refusal with
        `retry_after_s`, the same call with the same `idempotency_key` (or `batch_id`) goes on where it stopped.
        """
        stream = parts(items)
        first: list[NewItem] = await anext(stream, [])
        second = await anext(stream, None)
        try:
            submit = commands.BatchSubmit(
                workload=workload,
                items=first,
                sealed=second is None,
                batch_id=batch_id or new_batch_id(),
                priority=priority,
                idempotency_key=idempotency_key,
                name=name,
                labels=dict(labels or {}),
                notify=notify or Notify(),
                **_told(terms),
                **_told(reuse),
            )
        except ValidationError as error:
            raise BatchRefused("invalid_command", str(error)) from error
        accepted = await self.command(submit)
        if second is None:
            return accepted
        try:
            return await self._append(accepted, len(first), second, stream)
        except NoAnswer:
            raise
        except BatchRefused as error:
            if error.retry_after_s is None:
                await self._give_up(accepted.batch_id)
            raise
        except (Exception, asyncio.CancelledError):
            await self._give_up(accepted.batch_id)
            raise

    async def command(self, command: Command, timeout_s: float | None = None) -> commands.CommandAccepted:
        """Send any command that concerns a batch; raises `BatchRefused`, `NoAnswer`, `BrokerRefused`."""
        return _expect(await self._sent(command, timeout_s), commands.CommandAccepted)

    async def ask(self, question: Message, answer: type[ReplyT], timeout_s: float = QUESTION_TIMEOUT_S) -> ReplyT:
        """Ask any question; raises `QuestionRefused`, `NoAnswer`, `BrokerRefused`."""
        reply = await self._requests.ask(topology.QUERIES, question, timeout_s, durable=False)
        if isinstance(reply, queries.QueryFailed):
            raise QuestionRefused(reply.code, reply.detail)
        return _expect(reply, answer)

    def events(self, batch_id: BatchId, *, since_round: int = 1) -> Events:
        """What happens to a batch, to be iterated until `BatchFinished` of that round or a later one.

        `async with client.events(id) as events:` subscribes before the block begins.
        """
        return Events(self._subscription, batch_id, since_round, self.show)

    async def wait(self, batch_id: BatchId, timeout_s: float | None = None, *, since_round: int = 1) -> BatchFinished:
        """The end of a batch, also when it has passed; raises `NotFinished` when the time is up before."""
        try:
            async with asyncio.timeout(timeout_s), self.events(batch_id, since_round=since_round) as events:
                async for event in events:
                    if isinstance(event, BatchFinished):
                        return event
        except TimeoutError as error:
            raise NotFinished(f"Batch {batch_id} has not ended within {timeout_s} s; waiting again is safe.") from error
        raise AssertionError

    async def control(
        self,
        batch_id: BatchId,
        action: Literal["pause", "resume", "cancel", "retry", "change"],
        *,
        priority: Priority | None = None,
        terms: Terms | None = None,
        clear: Sequence[commands.Term] = (),
        select: Selection | None = None,
        patch: Sequence[Mapping[str, Any]] = (),
        skip_unfit: bool = False,
        timeout_s: float | None = None,
    ) -> commands.CommandAccepted:
        """Steer a batch; `change` takes a new priority, new terms, and the names of those that are taken back.

        `retry` runs what did not succeed in a finished batch again; with `select` only that; with `patch`, a JSON
        Patch, on changed payloads, and if that fits one of them not, it is refused, unless `skip_unfit`.
        How many items run again is in `again` of the answer. Raises as `command` does.
        """
        told = {"priority": priority, "clear": list(clear), **_told(terms)}
        chosen = {"select": select, "patch": list(patch), "skip_unfit": skip_unfit}
        try:
            control = commands.BatchControl(batch_id=batch_id, action=action, **told, **chosen)
        except ValidationError as error:
            raise BatchRefused("invalid_command", str(error)) from error
        return await self.command(control, timeout_s)

    async def forget(self, workload: WorkloadName, payload: Payload | None = None) -> commands.ControlAccepted:
        """Let known results of a workload answer no more items: that of one payload, or all. Raises as `command`."""
        reply = await self._sent(commands.CacheInvalidate(workload=workload, payload=payload), None)
        return _expect(reply, commands.ControlAccepted)

    async def show(self, batch_id: BatchId) -> queries.BatchState:
        """A batch as the ledger knows it; raises `UnknownBatch`, also for the moment before the ledger knows it."""
        question = queries.BatchesQuery(owner=self._owner, batch_ids=[batch_id])
        reply = await self.ask(question, queries.BatchesReply)
        if not reply.batches:
            raise UnknownBatch
        return reply.batches[0]

    async def results(
        self,
        batch_id: BatchId,
        *,
        status: TerminalStatus | None = None,
        error_code: ErrorCode | None = None,
        page: int = 500,
    ) -> AsyncIterator[ItemResult]:
        """The outcomes known now, in the order of the items, read page by page; raises `UnknownBatch`."""
        after: int | None = -1
        while after is not None:
            question = queries.ResultsQuery(
                owner=self._owner, batch_id=batch_id, after=after, limit=page, status=status, error_code=error_code
            )
            reply = await self.ask(question, queries.ResultsReply)
            if not reply.found:
                raise UnknownBatch
            for item in reply.items:
                yield item
            after = reply.next_after

    async def failures(self, batch_id: BatchId) -> list[queries.FailureGroup]:
        """What failed, grouped by cause, the largest group first; raises `UnknownBatch`."""
        reply = await self.ask(queries.FailuresQuery(owner=self._owner, batch_id=batch_id), queries.FailuresReply)
        if not reply.found:
            raise UnknownBatch
        return reply.groups

    async def _sent(self, command: Command, timeout_s: float | None) -> Message:
        reply = await self._requests.ask(topology.COMMANDS, command, timeout_s or self._command_timeout_s, durable=True)
        if isinstance(reply, commands.CommandRejected):
            raise BatchRefused(reply.code, reply.detail, reply.line, reply.status, reply.retry_after_s)
        return reply

    async def _append(
        self,
        accepted: commands.CommandAccepted,
        sent: int,
        part: list[NewItem] | None,
        rest: AsyncIterator[list[NewItem]],
    ) -> commands.CommandAccepted:
        batch_id = accepted.batch_id
        sequence = 0
        while part:
            try:
                await self._when_there_is_room(commands.BatchAppend(batch_id=batch_id, sequence=sequence, items=part))
            except BatchRefused as error:
                if error.line is not None:  # a refusal counts the items of its command
                    error.line += sent
                raise
            sent += len(part)
            sequence += 1
            part = await anext(rest, None)
        sealed = await self.command(commands.BatchSeal(batch_id=batch_id))
        return sealed.model_copy(update={"replayed": accepted.replayed, "accepted_at": accepted.accepted_at})

    async def _when_there_is_room(self, command: Command) -> None:
        """Send a command, again for as long as it is refused for want of room, up to `ROOM_PATIENCE_S`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + ROOM_PATIENCE_S
        while True:
            try:
                await self.command(command)
                return
            except BatchRefused as error:
                if error.retry_after_s is None or loop.time() + error.retry_after_s > until:
                    raise
                await asyncio.sleep(error.retry_after_s)

    async def _give_up(self, batch_id: BatchId) -> None:
        """A batch that will never be whole must not go on; cancelling it seals it too."""
        with suppress(ClientError):  # what went wrong before is what the caller has to know
            await self.command(commands.BatchControl(batch_id=batch_id, action="cancel"), _GIVE_UP_S)


def _told(told: Terms | Reuse | None) -> dict[str, Any]:
    return {name: getattr(told, name) for name in type(told).model_fields} if told else {}


def _expect(reply: Message, kind: type[ReplyT]) -> ReplyT:
    if not isinstance(reply, kind):
        raise QuestionRefused("unexpected_reply", f"Expected {kind.type}, got {reply.type}.")
    return reply
