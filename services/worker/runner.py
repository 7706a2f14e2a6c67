"""Runs items of one workload, each within its time, and reports what came of them."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import ChunkProcessed, ItemOutcome
from batchyard_contracts.v1.values import ItemError
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from batchyard_contracts.workload import Context, Workload
from services.worker import domain
from services.worker.cache import ResultCache
from services.worker.deadlines import Deadlines
from shared.amqp.publisher import Publisher, outgoing
from shared.faults import until_it_passes

RESULT_BYTES_MAX = 1_000_000
_REPORT_BYTES = 1_500_000


class Runner:
    """One workload on this worker. Its slots are shared by all chunks in hand."""

    def __init__(
        self, workload: Workload[Any, Any], resources: object, publisher: Publisher, cache: ResultCache, worker_id: str
    ) -> None:
        self.workload = workload
        self.manifest = workload.manifest
        self.cache = cache
        self.slots = asyncio.Semaphore(self.manifest.concurrency)
        """One for each item that may run at this moment."""
        self.unfinished = 0
        """Items of the chunks in hand that have no outcome yet."""
        self.room = asyncio.Event()
        """Set whenever that number goes down."""
        self._deadlines = Deadlines(self.manifest.item_timeout_s)
        self._resources = resources
        self._publisher = publisher
        self._worker_id = worker_id

    async def run_item(self, chunk: ChunkReady, item: ChunkItem) -> ItemOutcome:
        """Run the handler on one item; every end of it is an outcome."""
        started = time.monotonic()
        try:
            payload = self.workload.item.model_validate(item.payload)
        except ValidationError as error:
            return domain.invalid(item, error)
        context = Context(
            chunk.batch_id,
            item.ordinal,
            chunk.round,
            chunk.attempt,
            chunk.partition,
            resources=self._resources,
            state=item.state,
        )
        try:
            value = await self._deadlines.within(self.workload.run(payload, context))
            return domain.returned(item, value, _since(started))
        except Exception as error:  # noqa: BLE001  user code: the outcome of its item, never the worker's end
            return domain.raised(item, error, _since(started))

    async def report(
        self, chunk: ChunkReady, outcomes: Sequence[ItemOutcome], busy_s: float, trace: str | None, *, final: bool
    ) -> None:
        """Tell the ledger and the dispatcher; several messages when the results are large."""
        parts = _parts(outcomes)
        messages = [
            ChunkProcessed(
                chunk_id=chunk.chunk_id,
                fence=chunk.fence,
                batch_id=chunk.batch_id,
                owner=chunk.owner,
                workload=chunk.workload,
                partition=chunk.partition,
                round=chunk.round,
                attempt=chunk.attempt,
                worker_id=self._worker_id,
                final=final and number == len(parts),
                busy_ms=round(busy_s * 1000 * len(part) / max(1, len(outcomes)), 3),
                outcomes=part,
            )
            for number, part in enumerate(parts, 1)
        ]
        correlation_id = str(chunk.batch_id)
        sent = [outgoing(topology.FLOW, m, correlation_id=correlation_id, traceparent=trace) for m in messages]
        await until_it_passes(lambda: self._publisher.publish(sent), "report")


def _parts(outcomes: Sequence[ItemOutcome]) -> list[list[ItemOutcome]]:
    """Split so that no message grows too large; a single result that is too large fails its item."""
    parts: list[list[ItemOutcome]] = [[]]
    size = 0
    for outcome in outcomes:
        length = 0
        if outcome.result is not None:
            length = len(outcome.__pydantic_serializer__.to_json(outcome))
            if length > RESULT_BYTES_MAX:
                message = f"The result has {length} bytes, at most {RESULT_BYTES_MAX} are kept: store it, return where."
                outcome = ItemOutcome(  # noqa: PLW2901
                    ordinal=outcome.ordinal,
                    custom_id=outcome.custom_id,
                    status="failed",
                    error=ItemError(code="result_too_large", message=message),
                )
                length = 0
        if size + length > _REPORT_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(outcome)
        size += length
    return parts


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
