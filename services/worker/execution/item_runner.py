"""Runs items of one workload, each within its timeout, and publishes their outcomes."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from threading import Event
from typing import Any

import structlog
from pydantic import ValidationError

from batchyard_contracts import topology
from batchyard_contracts.partition import has_circuit
from batchyard_contracts.v1.flow import ChunkProcessed, DestinationFeedback
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from batchyard_contracts.workload import Permanent, Workload
from services.worker.caching.result_cache import ResultCache
from services.worker.domain import outcome as domain
from services.worker.domain.outcome import Outcome
from services.worker.execution import source_expansion
from services.worker.execution.deadlines import Deadlines
from services.worker.execution.handler_call import HandlerCall, OnRemaining, handler_context
from services.worker.execution.large_results import LargeResults
from services.worker.execution.process_pool import ProcessPool
from services.worker.execution.report_writer import report_bodies
from services.worker.execution.start_permit import StartPermitClient
from services.worker.execution.thread_pool import ThreadPool
from services.worker.execution.unit_counter import unit_counter
from services.worker.limits.destination_backoff import DestinationBackoff
from services.worker.limits.rate_gate import RateGates
from services.worker.limits.slots import Slots
from shared.messaging.gathering_publisher import GatheringPublisher
from shared.messaging.publisher import OutgoingMessage, Publisher, outgoing
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
GRACE_S = 5.0
"""Seconds that a handler may take to end after its interruption."""


class ItemRunner:
    """One workload on this worker. All chunks on the worker share its slots."""

    def __init__(
        self,
        workload: Workload[Any, Any],
        resources: object,
        publisher: Publisher,
        cache: ResultCache,
        worker_id: str,
        slots: int | None = None,
        grace_s: float = GRACE_S,
        rate_gates: RateGates | None = None,
        item_timeout_s: float | None = None,
        permits: StartPermitClient | None = None,
        large_results: LargeResults | None = None,
    ) -> None:
        self.workload = workload
        self.manifest = workload.announcement()
        self.cache = cache
        self.slots = Slots(slots or self.manifest.concurrency)
        """Slots, one for each running call."""
        self.grace_s = grace_s
        self.stuck_callbacks: dict[asyncio.Task[Any], Callable[[asyncio.Task[Any]], None]] = {}
        """For each task that makes calls, the callback for a call that ignores its interruption."""
        self._stuck_tasks: set[asyncio.Task[Any]] = set()
        self.rate_gates = rate_gates
        self.permits = permits
        self._large_results = large_results
        self.backoff = DestinationBackoff()
        self.unfinished = 0
        """Number of items on this worker without an outcome."""
        self.capacity_freed = asyncio.Event()
        """Event that is set whenever `unfinished` decreases."""
        self.whole_chunks = workload.handler_definition.whole_chunk
        """True when one call, in one slot, takes a whole chunk."""
        self.items_in_worker = not self.whole_chunks and workload.handler_definition.place != "process"
        self.threads = ThreadPool(f"{workload.name} handler")
        self._process_pool = ProcessPool(workload) if workload.handler_definition.place == "process" else None
        self._validate = workload.item.__pydantic_validator__.validate_python
        self._call = self._handler_caller()
        self._deadlines = Deadlines(item_timeout_s or self.manifest.item_timeout_s, grace_s, self._on_stuck)
        self.resources = resources
        self._count_units = unit_counter(self.manifest)
        self._publisher = GatheringPublisher(publisher)
        self._worker_id = worker_id

    @property
    def stuck_handlers(self) -> int:
        """Number of calls that still run although they were abandoned."""
        return len(self._stuck_tasks) + self.threads.stuck_threads

    def abandon_task(self, task: "asyncio.Task[Any]", chunk: ChunkReady, items: Sequence[ChunkItem]) -> None:
        """Abandon a task whose handler ignores its interruption: its items end, and its slot is released.

        It is cancelled once more; this ends the wait for a thread.
        """
        self._stuck_tasks.add(task)
        task.add_done_callback(self._stuck_tasks.discard)
        task.cancel()
        ordinals = [item.ordinal for item in items[:10]]
        log.warning("handler abandoned", workload=chunk.workload, batch_id=str(chunk.batch_id), ordinals=ordinals)

    def trim(self) -> None:
        """Close slots that were not used lately, with their threads and processes."""
        self.slots.trim()
        idle = self.slots.open - self.slots.busy
        self.threads.trim(idle)
        if self._process_pool:
            self._process_pool.trim(idle)

    def is_repeatable(self, chunk: ChunkReady, items: Sequence[ChunkItem]) -> bool:
        """Return True when a call with these items may be repeated although its end is unknown."""
        return self.manifest.repeatable or all(item.source or self._is_item_repeatable(chunk, item) for item in items)

    def _is_item_repeatable(self, chunk: ChunkReady, item: ChunkItem) -> bool:
        try:
            payload = self._validate(item.payload)
        except Exception:  # noqa: BLE001  it will not run, by the same error
            return True
        try:
            return self.workload.is_repeatable(payload, handler_context(chunk, item, self.resources))
        except Exception:
            log.exception(
                "`repeatable` raised an error, treated as False", workload=chunk.workload, ordinal=item.ordinal
            )
            return False

    def timeout_outcome(self, item: ChunkItem, *, at_most_once: bool) -> Outcome:
        """Return the outcome of an item whose call was abandoned."""
        limit_s = self._deadlines.limit_s
        error = TimeoutError(f"No end after {limit_s:g} s, nor {self.grace_s:g} s after its interruption: abandoned.")
        return domain.from_handler(item, error, round((limit_s + self.grace_s) * 1000), at_most_once=at_most_once)

    def _on_stuck(self, task: "asyncio.Task[Any]") -> None:
        if callback := self.stuck_callbacks.get(task):
            callback(task)

    async def start(self) -> None:
        """Start what handlers run in; raises `ConfigurationError` when they cannot run there."""
        if self._process_pool:
            await self._process_pool.start()

    async def stop(self) -> None:
        """Stop what handlers run in."""
        if self._process_pool:
            await self._process_pool.stop()

    def record_refusal(self, partition: str, outcome: Outcome) -> None:
        """Record that a provider refused an item for a reason that holds for all; others are not called."""
        error = outcome.error
        if error is None or error.scope != "provider" or outcome.delay_s is not None:
            return
        if has_circuit(self.manifest, partition):
            self.backoff.record_refusal(partition, error)

    def start_item(
        self, chunk: ChunkReady, item: ChunkItem, on_remaining: OnRemaining | None = None, *, at_most_once: bool = False
    ) -> Outcome | Coroutine[Any, Any, Outcome]:
        """Run the handler on one item until it waits; return its outcome if it never does, else the rest to await.

        The same task must await the rest. Any error of the handler becomes an outcome; only an interruption from
        outside, when the batch is cancelled or the worker stops, raises `CancelledError`.
        """
        started = time.monotonic()
        try:
            payload = self._validate(item.payload)
        except ValidationError as error:
            return domain.invalid_item(item, error)
        except (Exception, SystemExit) as error:
            log.exception(
                "item could not be validated",
                workload=chunk.workload,
                batch_id=str(chunk.batch_id),
                ordinal=item.ordinal,
            )
            return domain.internal_error(item, error, _elapsed_ms(started))
        work = self._call(payload, handler_context(chunk, item, self.resources, on_remaining))
        try:
            waits_for = work.send(None)
        except StopIteration as done:
            return domain.from_result(item, done.value, _elapsed_ms(started), self.workload.result)
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001  user code never ends the worker
            return _error_outcome(item, error, started, at_most_once=at_most_once)
        return self._resume_item(item, started, work, waits_for, at_most_once=at_most_once)

    async def run_source(self, chunk: ChunkReady, item: ChunkItem, on_remaining: OnRemaining | None = None) -> Outcome:
        """Run the source of a batch. The items that it finds are published with the report."""
        started = time.monotonic()
        asked = self.workload.source_definition
        if asked is None:
            what = "This worker's version of the workload finds no items by itself."
            return domain.from_handler(item, Permanent("no_source", what), 0)
        try:
            source = asked.model.model_validate(item.payload)
            context = handler_context(chunk, item, self.resources, on_remaining)
            context.state = source_expansion.source_state(item)
            value = await self._deadlines.run(asked.function(source, context))
        except ValidationError as error:
            return domain.invalid_item(item, error)
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001  user code never ends the worker
            return _error_outcome(item, error, started, at_most_once=False)
        return source_expansion.outcome_of(item, value, _elapsed_ms(started))

    async def run_chunk(
        self,
        chunk: ChunkReady,
        items: Sequence[ChunkItem],
        on_remaining: OnRemaining | None = None,
        *,
        at_most_once: bool = False,
    ) -> list[Outcome]:
        """Run items in one call of a chunk handler, or in a process, and return their outcomes."""
        if items[0].source:
            return [await self.run_source(chunk, items[0], on_remaining)]
        started = time.monotonic()
        call = HandlerCall(
            self.workload.item,
            chunk,
            items,
            self.resources,
            on_remaining,
            result_model=self.workload.result,
            at_most_once=at_most_once,
        )
        try:
            if self._process_pool:
                return await self._process_pool.run(chunk, items, self._deadlines.run, at_most_once=at_most_once)
            answers = await self._deadlines.run(self._call(call.payloads, call.contexts)) if call.items else []
            return call.outcomes(answers, time.monotonic() - started)
        except asyncio.CancelledError as error:
            if _is_interrupted():
                raise
            return call.error_outcomes(error, time.monotonic() - started)
        except (Exception, SystemExit) as error:  # noqa: BLE001  user code never ends the worker
            return call.error_outcomes(error, time.monotonic() - started)

    async def _resume_item(
        self, item: ChunkItem, started: float, work: Coroutine[Any, Any, Any], waits_for: Any, *, at_most_once: bool
    ) -> Outcome:
        try:
            value = await self._deadlines.resume(work, waits_for)
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001  user code never ends the worker
            return _error_outcome(item, error, started, at_most_once=at_most_once)
        return domain.from_result(item, value, _elapsed_ms(started), self.workload.result)

    def _handler_caller(self) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return the function that calls the handler, on the event loop or in a thread."""
        function = self.workload.handler_definition.function
        if self.workload.handler_definition.place != "thread":
            return function

        async def in_thread(argument: Any, contexts: Any) -> Any:
            stop = Event()
            for context in contexts if self.whole_chunks else [contexts]:
                context.stop_event = stop
            return await self.threads.run(lambda: function(argument, contexts), stop)

        return in_thread

    async def publish_report(
        self,
        chunk: ChunkReady,
        outcomes: Sequence[Outcome],
        busy_s: float,
        trace: str | None,
        *,
        feedback: DestinationFeedback | None = None,
        final: bool,
    ) -> None:
        """Publish outcomes to aggregator and dispatcher, in several messages when the results are large."""
        if self.workload.source_definition is not None:
            expanded, outcomes = source_expansion.split_sources(chunk, outcomes)
            first = [outgoing(topology.FLOW, message) for message in expanded]
            await retry_transient(lambda: self._publisher.publish(first), "source")
        if self._count_units is not None:
            outcomes = self._count_units(outcomes)
        if self._large_results is not None:
            outcomes = await self._store_large_results(self._large_results, chunk, outcomes)
        head = ChunkProcessed(
            chunk_id=chunk.chunk_id,
            fence=chunk.fence,
            batch_id=chunk.batch_id,
            owner=chunk.owner,
            workload=chunk.workload,
            partition=chunk.partition,
            round=chunk.round,
            attempt=chunk.attempt,
            worker_id=self._worker_id,
            lease=chunk.lease,
            final=final,
            busy_ms=busy_s * 1000,
            feedback=feedback,
            outcomes=[],
        )
        type_, key = ChunkProcessed.type, str(chunk.batch_id)
        sent = [
            OutgoingMessage(topology.FLOW, type_, type_, body, correlation_id=key, traceparent=trace)
            for body in report_bodies(head, outcomes)
        ]
        await retry_transient(lambda: self._publisher.publish(sent), "report")

    async def _store_large_results(
        self, large_results: LargeResults, chunk: ChunkReady, outcomes: Sequence[Outcome]
    ) -> Sequence[Outcome]:
        def is_repeatable(ordinal: int) -> bool:
            return self.is_repeatable(chunk, [item for item in chunk.items if item.ordinal == ordinal])

        return await large_results.store(chunk.batch_id, outcomes, is_repeatable)


def _error_outcome(item: ChunkItem, error: BaseException, started: float, *, at_most_once: bool) -> Outcome:
    """Return the outcome of a handler that raised; re-raises an interruption from outside.

    Another `CancelledError` is the handler's own: something that it awaited was cancelled.
    """
    if isinstance(error, asyncio.CancelledError) and _is_interrupted():
        raise error
    return domain.from_handler(item, error, _elapsed_ms(started), at_most_once=at_most_once)


def _elapsed_ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _is_interrupted() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
