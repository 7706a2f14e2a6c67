"""Client for batches of one owner: it submits them, waits for them, controls them and reads their results."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from batchyard_contracts import topology
from batchyard_contracts.client.connection import LOST, BrokerConnection
from batchyard_contracts.client.errors import (
    BatchRefused,
    ClientError,
    NoReply,
    NotConnected,
    NotFinished,
    QueryRefused,
    UnknownBatch,
)
from batchyard_contracts.client.following import Events
from batchyard_contracts.client.packing import Items, parts
from batchyard_contracts.client.requesting import expect
from batchyard_contracts.client.requests import APP_ID, DEFAULT_OWNER, RequestClient
from batchyard_contracts.client.result_pages import read_pages, read_stream
from batchyard_contracts.client.schedules import ScheduleClient
from batchyard_contracts.client.subscription import Subscription
from batchyard_contracts.client.templates import TemplateClient
from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.message import Command, Message
from batchyard_contracts.v1 import commands, queries
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.values import (
    BatchId,
    ClearableTerm,
    ErrorCode,
    IdempotencyKey,
    ItemResult,
    NewItem,
    Notifications,
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
QUERY_TIMEOUT_S = 10.0
BACKPRESSURE_TIMEOUT_S = 600.0
"""Seconds for which `submit` waits within a long list of items while too many items are waiting."""
_CANCEL_TIMEOUT_S = 5.0

ReplyT = TypeVar("ReplyT", bound=Message)


class Client:
    """Client of Batchyard for one owner. `connect` opens it; any number of tasks may share it."""

    def __init__(
        self, requests: RequestClient, subscription: Subscription, owner: str, *, command_timeout_s: float
    ) -> None:
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

        `owner` is the RabbitMQ user of the URL, or "default". `traceparent` returns the W3C trace context of a request.
        """
        TypeAdapter(Owner).validate_python(owner)
        for_requests = BrokerConnection(url, f"{APP_ID}-requests")
        for_events = BrokerConnection(url, f"{APP_ID}-events")
        try:
            await for_requests.open()
        except LOST as error:
            raise NotConnected(f"{NotConnected.__doc__} ({type(error).__name__}: {error})") from error
        try:
            requests, subscription = RequestClient(for_requests, owner, traceparent), Subscription(for_events, owner)
            yield cls(requests, subscription, owner, command_timeout_s=command_timeout_s)
        finally:
            await for_requests.close()
            await for_events.close()

    async def submit(
        self,
        workload: WorkloadName,
        items: Items,
        *,
        priority: Priority = "normal",
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: IdempotencyKey | None = None,
        notify: Notifications | None = None,
        batch_id: BatchId | None = None,
        terms: Terms | None = None,
        reuse: Reuse | None = None,
    ) -> commands.CommandAccepted:
        """Submit a batch and return when it is durable. Items that do not fit one command are appended by further ones.

        Raises `BatchRefused`, `InvalidItem`, `NoReply`, `BrokerRefused`. After `NoReply`, or a `BatchRefused` with
        `retry_after_s`, an equal call with the same `idempotency_key` or `batch_id` resumes where this one stopped.
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
                metadata=dict(metadata or {}),
                notify=notify or Notifications(),
                **_fields_of(terms),
                **_fields_of(reuse),
            )
        except ValidationError as error:
            raise BatchRefused("invalid_command", str(error)) from error
        accepted = await self.send(submit)
        if second is None:
            return accepted
        try:
            return await self._append(accepted, len(first), second, stream)
        except NoReply:
            raise
        except BatchRefused as error:
            if error.retry_after_s is None:
                await self._cancel_incomplete(accepted.batch_id)
            raise
        except (Exception, asyncio.CancelledError):
            await self._cancel_incomplete(accepted.batch_id)
            raise

    async def send(self, command: Command, timeout_s: float | None = None) -> commands.CommandAccepted:
        """Send any command that concerns a batch; raises `BatchRefused`, `NoReply`, `BrokerRefused`."""
        return expect(await self._send(command, timeout_s), commands.CommandAccepted)

    async def query(self, query: Message, reply_type: type[ReplyT], timeout_s: float = QUERY_TIMEOUT_S) -> ReplyT:
        """Send any query and return its reply; raises `QueryRefused`, `NoReply`, `BrokerRefused`."""
        reply = await self._requests.request(topology.QUERIES, query, timeout_s, durable=False)
        if isinstance(reply, queries.QueryFailed):
            raise QueryRefused(reply.code, reply.detail)
        return expect(reply, reply_type)

    def events(self, batch_id: BatchId, *, since_round: int = 1) -> Events:
        """Events of a batch, to be iterated until `BatchFinished` of `since_round` or a later round.

        `async with client.events(id) as events:` subscribes before the block begins.
        """
        return Events(self._subscription, batch_id, since_round, self.batch)

    async def wait(self, batch_id: BatchId, timeout_s: float | None = None, *, since_round: int = 1) -> BatchFinished:
        """Wait for the end of a batch, which may have passed; raises `NotFinished` after `timeout_s` seconds."""
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
        clear: Sequence[ClearableTerm] = (),
        select: Selection | None = None,
        patch: Sequence[Mapping[str, Any]] = (),
        skip_invalid: bool = False,
        timeout_s: float | None = None,
    ) -> commands.CommandAccepted:
        """Pause, resume, cancel, retry or change a batch; raises the errors of `send`.

        `change` sets the priority and the terms that are given, and removes the terms named in `clear`. `retry` runs
        the items of a finished batch that did not succeed again: all, or those of `select`, with `patch` (a JSON Patch)
        applied to their payloads. If the patch does not apply to an item, the command is rejected, unless
        `skip_invalid` is true. `retried` of the reply is the number of items that run again.
        """
        change = {"priority": priority, "clear": list(clear), **_fields_of(terms)}
        retry = {"select": select, "patch": list(patch), "skip_invalid": skip_invalid}
        try:
            control = commands.BatchControl(batch_id=batch_id, action=action, **change, **retry)
        except ValidationError as error:
            raise BatchRefused("invalid_command", str(error)) from error
        return await self.send(control, timeout_s)

    async def accept_results(
        self,
        batch_id: BatchId,
        reason: str,
        *,
        ordinals: Sequence[int] = (),
        custom_ids: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> commands.CommandAccepted:
        """Accept results of a finished batch that were refused as `invalid_result`: those of the named items, or all.

        The items succeed in a new round, which ends at once. `accepted` of the reply is their number. Raises the errors
        of `send`.
        """
        try:
            command = commands.ResultsAccept(
                batch_id=batch_id, reason=reason, ordinals=list(ordinals), custom_ids=list(custom_ids)
            )
        except ValidationError as error:
            raise BatchRefused("invalid_command", str(error)) from error
        return await self.send(command, timeout_s)

    async def invalidate_cache(self, workload: WorkloadName, payload: Payload) -> commands.ControlAccepted:
        """Remove the cached result of one payload of a workload; raises the errors of `send`."""
        reply = await self._send(commands.CacheInvalidate(workload=workload, payload=payload), None)
        return expect(reply, commands.ControlAccepted)

    @property
    def templates(self) -> TemplateClient:
        """Templates that the owner sees."""
        return TemplateClient(self._owner, self.query, self._send)

    @property
    def schedules(self) -> ScheduleClient:
        """Schedules of the owner."""
        return ScheduleClient(self._owner, self.query, self._send)

    async def batch(self, batch_id: BatchId) -> queries.BatchState:
        """State of a batch; raises `UnknownBatch`, also until the aggregator has recorded a new batch."""
        query = queries.BatchesQuery(owner=self._owner, batch_ids=[batch_id])
        reply = await self.query(query, queries.BatchesReply)
        if not reply.batches:
            raise UnknownBatch
        return reply.batches[0]

    async def results(
        self,
        batch_id: BatchId,
        *,
        status: TerminalStatus | None = None,
        error_code: ErrorCode | None = None,
        page: int = 5000,
        after: int = -1,
    ) -> AsyncIterator[ItemResult]:
        """Yield the outcomes recorded so far of the items after the ordinal `after`, in the order of the items; raises
        `UnknownBatch`.

        They are read in pages of `page` items, 10,000 at most; the next page is on its way while one is consumed.
        """
        query = queries.ResultsQuery(
            owner=self._owner,
            batch_id=batch_id,
            after=after,
            limit=min(page, queries.MAX_PAGE),
            max_items=page,
            status=status,
            error_code=error_code,
        )
        async for item in read_pages(lambda each: self.query(each, queries.ResultsReply), query):
            yield item

    async def stream(
        self,
        batch_id: BatchId,
        *,
        order: queries.StreamOrder = "completion",
        follow: bool = True,
        cursor: str | None = None,
        page: int = 1000,
        **filters: Any,
    ) -> AsyncIterator[ItemResult]:
        """Yield the outcomes of a batch as they are recorded, each with its cursor, until the batch has ended; raises
        `UnknownBatch`, also until the aggregator has recorded a new batch.

        In the order of `completion`, or of the items: then each waits for those before it. Go on after a failure with
        the `cursor` of the last one. `filters`: `status`, `error_code`, `cause`, `custom_id` and `round`. Without
        `follow`, those recorded so far.
        """
        query = queries.StreamQuery(
            owner=self._owner,
            batch_id=batch_id,
            order=order,
            cursor=cursor,
            without_gaps=follow,
            max_items=page,
            **filters,
        )
        async for item in read_stream(lambda each: self.query(each, queries.StreamPage), query, follow=follow):
            yield item

    async def failures(self, batch_id: BatchId) -> list[queries.FailureGroup]:
        """Failures grouped by cause, the largest group first; raises `UnknownBatch`."""
        reply = await self.query(queries.FailuresQuery(owner=self._owner, batch_id=batch_id), queries.FailuresReply)
        if not reply.found:
            raise UnknownBatch
        return reply.groups

    async def deliveries(self, batch_id: BatchId) -> list[queries.DeliveryState]:
        """Webhooks and e-mails about the end of each round, the newest first; empty for a batch of another owner."""
        query = queries.DeliveriesQuery(owner=self._owner, batch_id=batch_id)
        return (await self.query(query, queries.DeliveriesReply)).deliveries

    async def _send(self, command: Command, timeout_s: float | None = None) -> Message:
        timeout_s = timeout_s or self._command_timeout_s
        reply = await self._requests.request(topology.COMMANDS, command, timeout_s, durable=True)
        if isinstance(reply, commands.CommandRejected):
            raise BatchRefused(
                reply.code,
                reply.detail,
                reply.line,
                reply.status,
                reply.retry_after_s,
                reply.errors,
                reply.error_count,
            )
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
                await self._send_patiently(commands.BatchAppend(batch_id=batch_id, sequence=sequence, items=part))
            except BatchRefused as error:
                if error.line is not None:  # a refusal counts the items of its command
                    error.line += sent
                raise
            sent += len(part)
            sequence += 1
            part = await anext(rest, None)
        sealed = await self.send(commands.BatchSeal(batch_id=batch_id))
        return sealed.model_copy(update={"replayed": accepted.replayed, "accepted_at": accepted.accepted_at})

    async def _send_patiently(self, command: Command) -> None:
        """Send a command, and repeat it while too many items are waiting, for up to `BACKPRESSURE_TIMEOUT_S`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + BACKPRESSURE_TIMEOUT_S
        while True:
            try:
                await self.send(command)
                return
            except BatchRefused as error:
                if error.retry_after_s is None or loop.time() + error.retry_after_s > until:
                    raise
                await asyncio.sleep(error.retry_after_s)

    async def _cancel_incomplete(self, batch_id: BatchId) -> None:
        """Cancel a batch whose items cannot all be sent, which seals it too."""
        with suppress(ClientError):  # the caller needs the first error
            await self.send(commands.BatchControl(batch_id=batch_id, action="cancel"), _CANCEL_TIMEOUT_S)


def _fields_of(value: Terms | Reuse | None) -> dict[str, Any]:
    return {name: getattr(value, name) for name in type(value).model_fields} if value else {}
