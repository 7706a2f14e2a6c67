"""Runs chunks of numbers without a broker and records what is reported of them."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import from_json

from batchyard_contracts.v1.flow import ChunkProcessed, ItemOutcome
from batchyard_contracts.v1.work import ChunkItem, ChunkRates, ChunkReady, SharedRate
from batchyard_contracts.workload import Workload
from services.worker.caching import result_cache
from services.worker.caching.result_cache import CachePolicy, ClaimRelease, ResultCache
from services.worker.execution.chunk_execution import ChunkExecution
from services.worker.execution.item_runner import ItemRunner
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.redis.rate_reservations import KeyRate


class Number(BaseModel):
    n: int


class Recorder:
    """Publisher that records the messages."""

    def __init__(self) -> None:
        self.reports: list[ChunkProcessed] = []
        self.published = asyncio.Event()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        self.reports.extend(ChunkProcessed.decode(message.body) for message in messages)
        self.published.set()

    @property
    def outcomes(self) -> dict[int, ItemOutcome]:
        return {o.ordinal: o for report in self.reports for o in report.outcomes}


class FakeCache:
    """Cache that has the results of some payloads."""

    def __init__(self, results: dict[int, Any] | None = None) -> None:
        self.results = results or {}

    async def claim(
        self, _: CachePolicy, items: Sequence[tuple[Any, str]]
    ) -> tuple[int, list[result_cache.CachedResult | result_cache.InFlightItem | None]]:
        found = [self.results.get(payload["n"]) for payload, _ in items]
        return 1, [result_cache.CachedResult(result) if result is not None else None for result in found]

    async def release(self, _: CachePolicy, __: int, releases: Sequence[ClaimRelease]) -> None:
        self.results |= {one.payload["n"]: from_json(one.result) for one in releases if one.result}


class Away:
    """Reservations whose Redis is unavailable; counts the calls."""

    def __init__(self) -> None:
        self.asked = 0

    async def reserve(self, _: Sequence[KeyRate], __: int, *, prefetch: bool = False) -> None:
        self.asked += 1


def paced(chunk: ChunkReady, per_second: float = 1000.0) -> ChunkReady:
    """Return the chunk with a rate."""
    return chunk.model_copy(update={"rates": ChunkRates(keys=[SharedRate(key="k", per_second=per_second)])})


def workload(**settings: Any) -> Workload[Number, Number]:
    return Workload("squares", version="1", item=Number, result=Number, **settings)


def chunk(*numbers: int) -> ChunkReady:
    items = [ChunkItem(ordinal=i, payload={"n": n}) for i, n in enumerate(numbers)]
    return ChunkReady(
        chunk_id=UUID(int=1),
        fence=3,
        batch_id=UUID(int=2),
        owner="a",
        workload="squares",
        priority="normal",
        partition="",
        round=2,
        attempt=4,
        items=items,
    )


def run_of(
    work: Workload[Number, Number], numbers: Sequence[int], known: FakeCache | None = None
) -> tuple[ChunkExecution, Recorder, ItemRunner]:
    recorder = Recorder()
    runner = ItemRunner(work, "resources", cast("Publisher", recorder), cast("ResultCache", known or FakeCache()), "w1")
    runner.unfinished += len(numbers)
    return ChunkExecution(runner, chunk(*numbers), None, 0.01), recorder, runner
