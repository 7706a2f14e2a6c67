"""Synchronous and asynchronous client of the HTTP API."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any, Self, TypeVar
from uuid import UUID

import httpx

from batchyard_contracts.http import operations
from batchyard_contracts.http.errors import BatchUnfinished, HttpProblem, NotReachable
from batchyard_contracts.http.operations import Item, Operation, TaggedBatch
from batchyard_contracts.http.result_stream import ResultStream
from batchyard_contracts.v1.commands import CommandAccepted
from batchyard_contracts.v1.queries import BatchState, DeliveryState, EstimateReply, FailureGroup, WorkerState
from batchyard_contracts.v1.values import ItemResult, Selection

T = TypeVar("T")
API = "/api/v1"
TIMEOUT_S = 60.0
POLL_S = 0.5
"""Seconds between two looks at a batch that is waited for."""

_TRANSIENT = {429, 502, 503, 504}
"""Statuses of problems that may be gone in a moment."""


class HttpClient:
    """Synchronous client. The token is the bearer token of the owner, if the server asks for one."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._http = httpx.Client(base_url=_base(url), headers=_authorization(token), timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self, workload: str, items: Sequence[Item], *, idempotency_key: str | None = None, **options: Any
    ) -> CommandAccepted:
        """Submit a batch of up to 10,000 items; `options` are further fields of `BatchSubmit`, such as `priority`."""
        return self._run(operations.submit(workload, items, idempotency_key, options))

    def estimate(self, workload: str, items: Sequence[Item], **options: Any) -> EstimateReply:
        """Tell when a batch of up to 10,000 items would end, without submitting it; `options` as in `submit`."""
        return self._run(operations.estimate(workload, items, options))

    def batches(self, **query: Any) -> list[BatchState]:
        """List batches, the one that was accepted last first; `query` narrows them, such as `status`."""
        return self._run(operations.batches(query))

    def batch(self, batch_id: UUID) -> BatchState:
        """Show a batch."""
        return self._run(operations.batch(batch_id))

    def tagged_batch(self, batch_id: UUID, *, unless: str | None = None) -> TaggedBatch | None:
        """Show a batch with its entity tag; None when it has the tag `unless`, so that the caller has it already."""
        return self._run_tagged(operations.tagged_batch(batch_id, unless))

    def wait(self, batch_id: UUID, timeout_s: float | None = None) -> BatchState:
        """Wait until a batch has finished. Raises `BatchUnfinished` after `timeout_s`."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while (state := self.batch(batch_id)).status != "finished":
            if end is not None and time.monotonic() > end:
                raise BatchUnfinished
            time.sleep(POLL_S)
        return state

    def results(self, batch_id: UUID, **query: Any) -> Iterator[ItemResult]:
        """Read the results. `query` narrows them by `status`, `error_code`, `cause`, `custom_id` or `round`, begins
        them `after` an ordinal or the `cursor` of a result, and gives their `order`: `ordinal` or `completion`. With
        `follow=True` they come as they are recorded, until the batch has ended. An answer that breaks off is continued
        where it stopped."""
        stream = ResultStream(batch_id, query)
        while True:
            try:
                with self._open(stream.operation()) as response:
                    for piece in response.iter_bytes():
                        yield from stream.feed(piece)
                return
            except httpx.TransportError as error:
                if (pause_s := stream.pause_s(time.monotonic())) is None:
                    raise _not_reachable(error) from error
            except HttpProblem as problem:
                if problem.status not in _TRANSIENT or (pause_s := stream.pause_s(time.monotonic())) is None:
                    raise
            time.sleep(pause_s)

    def failures(self, batch_id: UUID) -> list[FailureGroup]:
        """Show the failures of a batch by cause, the most frequent first."""
        return self._run(operations.failures(batch_id))

    def deliveries(self, batch_id: UUID) -> list[DeliveryState]:
        """Show the webhooks and e-mails about a batch, those of the newest round first."""
        return self._run(operations.deliveries(batch_id))

    def pause(self, batch_id: UUID, *, if_match: str | None = None) -> CommandAccepted:
        """Pause a batch."""
        return self._run(operations.control(batch_id, "pause", if_match))

    def resume(self, batch_id: UUID, *, if_match: str | None = None) -> CommandAccepted:
        """Resume a paused batch."""
        return self._run(operations.control(batch_id, "resume", if_match))

    def cancel(self, batch_id: UUID, *, if_match: str | None = None) -> CommandAccepted:
        """Cancel a batch; its results so far are kept."""
        return self._run(operations.control(batch_id, "cancel", if_match))

    def change(self, batch_id: UUID, *, if_match: str | None = None, **changes: Any) -> CommandAccepted:
        """Change the priority or the terms of a batch. With the `tag` of a `tagged_batch` as `if_match`, raises
        `HttpProblem` (412) when it was changed since."""
        return self._run(operations.change(batch_id, changes, if_match))

    def retry(
        self,
        batch_id: UUID,
        select: Selection | None = None,
        patch: Sequence[Mapping[str, Any]] = (),
        *,
        skip_invalid: bool = False,
        if_match: str | None = None,
    ) -> CommandAccepted:
        """Run items of a finished batch again that did not succeed: all of them, or a selection."""
        operation = operations.retry(batch_id, select, patch, skip_invalid=skip_invalid, if_match=if_match)
        return self._run(operation)

    def accept_results(
        self,
        batch_id: UUID,
        reason: str,
        *,
        ordinals: Sequence[int] = (),
        custom_ids: Sequence[str] = (),
        if_match: str | None = None,
    ) -> CommandAccepted:
        """Accept results that were refused as `invalid_result`: those of the named items, or all of the batch."""
        return self._run(operations.accept_results(batch_id, reason, ordinals, custom_ids, if_match))

    def workloads(self) -> list[dict[str, Any]]:
        """List the workloads that workers have announced."""
        return self._run(operations.workloads())

    def workers(self) -> list[WorkerState]:
        """List the live workers."""
        return self._run(operations.workers())

    def ask(self, workload: str, question: str, request: Mapping[str, Any]) -> Any:
        """Ask a workload a question, and return its answer."""
        return self._run(operations.ask(workload, question, request))

    def _run(self, operation: Operation[T]) -> T:
        return _read(operation, self._send(operation))

    def _run_tagged(self, operation: Operation[BatchState]) -> TaggedBatch | None:
        return _read_tagged(operation, self._send(operation))

    def _send(self, operation: Operation[Any]) -> httpx.Response:
        try:
            return self._http.send(_request(self._http, operation))
        except httpx.TransportError as error:
            raise _not_reachable(error) from error

    @contextmanager
    def _open(self, operation: Operation[None]) -> Iterator[httpx.Response]:
        response = self._http.send(_request(self._http, operation), stream=True)
        with closing(response):
            if response.status_code >= 300:
                response.read()
            _raise_problem(response)
            yield response


class AsyncHttpClient:
    """Asynchronous client. The token is the bearer token of the owner, if the server asks for one."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._http = httpx.AsyncClient(base_url=_base(url), headers=_authorization(token), timeout=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(
        self, workload: str, items: Sequence[Item], *, idempotency_key: str | None = None, **options: Any
    ) -> CommandAccepted:
        """Submit a batch of up to 10,000 items; `options` are further fields of `BatchSubmit`, such as `priority`."""
        return await self._run(operations.submit(workload, items, idempotency_key, options))

    async def estimate(self, workload: str, items: Sequence[Item], **options: Any) -> EstimateReply:
        """Tell when a batch of up to 10,000 items would end, without submitting it; `options` as in `submit`."""
        return await self._run(operations.estimate(workload, items, options))

    async def batches(self, **query: Any) -> list[BatchState]:
        """List batches, the one that was accepted last first; `query` narrows them, such as `status`."""
        return await self._run(operations.batches(query))

    async def batch(self, batch_id: UUID) -> BatchState:
        """Show a batch."""
        return await self._run(operations.batch(batch_id))

    async def tagged_batch(self, batch_id: UUID, *, unless: str | None = None) -> TaggedBatch | None:
        """Show a batch with its entity tag; None when it has the tag `unless`, so that the caller has it already."""
        return await self._run_tagged(operations.tagged_batch(batch_id, unless))

    async def wait(self, batch_id: UUID, timeout_s: float | None = None) -> BatchState:
        """Wait until a batch has finished. Raises `BatchUnfinished` after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while (state := await self.batch(batch_id)).status != "finished":  # noqa: ASYNC110  # as HTTP has it
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise BatchUnfinished from error
        return state

    async def results(self, batch_id: UUID, **query: Any) -> AsyncIterator[ItemResult]:
        """Read the results. `query` narrows them by `status`, `error_code`, `cause`, `custom_id` or `round`, begins
        them `after` an ordinal or the `cursor` of a result, and gives their `order`: `ordinal` or `completion`. With
        `follow=True` they come as they are recorded, until the batch has ended. An answer that breaks off is continued
        where it stopped."""
        stream = ResultStream(batch_id, query)
        while True:
            try:
                async with self._open(stream.operation()) as response:
                    async for piece in response.aiter_bytes():
                        for item in stream.feed(piece):
                            yield item
                return
            except httpx.TransportError as error:
                if (pause_s := stream.pause_s(time.monotonic())) is None:
                    raise _not_reachable(error) from error
            except HttpProblem as problem:
                if problem.status not in _TRANSIENT or (pause_s := stream.pause_s(time.monotonic())) is None:
                    raise
            await asyncio.sleep(pause_s)

    async def failures(self, batch_id: UUID) -> list[FailureGroup]:
        """Show the failures of a batch by cause, the most frequent first."""
        return await self._run(operations.failures(batch_id))

    async def deliveries(self, batch_id: UUID) -> list[DeliveryState]:
        """Show the webhooks and e-mails about a batch, those of the newest round first."""
        return await self._run(operations.deliveries(batch_id))

    async def pause(self, batch_id: UUID, *, if_match: str | None = None) -> CommandAccepted:
        """Pause a batch."""
        return await self._run(operations.control(batch_id, "pause", if_match))

    async def resume(self, batch_id: UUID, *, if_match: str | None = None) -> CommandAccepted:
        """Resume a paused batch."""
        return await self._run(operations.control(batch_id, "resume", if_match))

    async def cancel(self, batch_id: UUID, *, if_match: str | None = None) -> CommandAccepted:
        """Cancel a batch; its results so far are kept."""
        return await self._run(operations.control(batch_id, "cancel", if_match))

    async def change(self, batch_id: UUID, *, if_match: str | None = None, **changes: Any) -> CommandAccepted:
        """Change the priority or the terms of a batch. With the `tag` of a `tagged_batch` as `if_match`, raises
        `HttpProblem` (412) when it was changed since."""
        return await self._run(operations.change(batch_id, changes, if_match))

    async def retry(
        self,
        batch_id: UUID,
        select: Selection | None = None,
        patch: Sequence[Mapping[str, Any]] = (),
        *,
        skip_invalid: bool = False,
        if_match: str | None = None,
    ) -> CommandAccepted:
        """Run items of a finished batch again that did not succeed: all of them, or a selection."""
        operation = operations.retry(batch_id, select, patch, skip_invalid=skip_invalid, if_match=if_match)
        return await self._run(operation)

    async def accept_results(
        self,
        batch_id: UUID,
        reason: str,
        *,
        ordinals: Sequence[int] = (),
        custom_ids: Sequence[str] = (),
        if_match: str | None = None,
    ) -> CommandAccepted:
        """Accept results that were refused as `invalid_result`: those of the named items, or all of the batch."""
        return await self._run(operations.accept_results(batch_id, reason, ordinals, custom_ids, if_match))

    async def workloads(self) -> list[dict[str, Any]]:
        """List the workloads that workers have announced."""
        return await self._run(operations.workloads())

    async def workers(self) -> list[WorkerState]:
        """List the live workers."""
        return await self._run(operations.workers())

    async def ask(self, workload: str, question: str, request: Mapping[str, Any]) -> Any:
        """Ask a workload a question, and return its answer."""
        return await self._run(operations.ask(workload, question, request))

    async def _run(self, operation: Operation[T]) -> T:
        return _read(operation, await self._send(operation))

    async def _run_tagged(self, operation: Operation[BatchState]) -> TaggedBatch | None:
        return _read_tagged(operation, await self._send(operation))

    async def _send(self, operation: Operation[Any]) -> httpx.Response:
        try:
            return await self._http.send(_request(self._http, operation))
        except httpx.TransportError as error:
            raise _not_reachable(error) from error

    @asynccontextmanager
    async def _open(self, operation: Operation[None]) -> AsyncIterator[httpx.Response]:
        response = await self._http.send(_request(self._http, operation), stream=True)
        try:
            if response.status_code >= 300:
                await response.aread()
            _raise_problem(response)
            yield response
        finally:
            await response.aclose()


def _base(url: str) -> str:
    return url.rstrip("/") + API


def _authorization(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _request(http: httpx.Client | httpx.AsyncClient, operation: Operation[Any]) -> httpx.Request:
    return http.build_request(
        operation.method,
        operation.path,
        params=operation.params(),
        content=operation.body,
        headers=operation.headers(),
    )


def _read_tagged(operation: Operation[BatchState], response: httpx.Response) -> TaggedBatch | None:
    if response.status_code == httpx.codes.NOT_MODIFIED:
        return None
    return TaggedBatch(_read(operation, response), response.headers.get("ETag", ""))


def _read(operation: Operation[T], response: httpx.Response) -> T:
    _raise_problem(response)
    return operation.read(response.content)


def _raise_problem(response: httpx.Response) -> None:
    if response.status_code >= 300:
        raise operations.problem_of(response.status_code, response.content, response.headers.get("Retry-After"))


def _not_reachable(error: httpx.TransportError) -> NotReachable:
    return NotReachable(f"{NotReachable.__doc__} ({error})")
