"""Answers when a batch would end if it were submitted now, what would make it end in time, and whom it would delay."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import MAX_DELAYED, Alternative, DelayedBatch, EstimateQuery, EstimateReply
from batchyard_contracts.v1.values import Forecast, WaitReason
from services.dispatcher.domain.forecasting.alternatives import variants_of
from services.dispatcher.domain.forecasting.calibration import HIGH, Interval
from services.dispatcher.domain.forecasting.load import WorkloadLoad
from services.dispatcher.domain.forecasting.load_builder import MAX_BATCHES, BatchWork, DestinationWork
from services.dispatcher.domain.forecasting.reasons import NO_END
from services.dispatcher.domain.forecasting.simulation import BatchEnd, simulate
from services.dispatcher.domain.rate_limiting.batch_limits import BatchLimits
from services.dispatcher.domain.waiting import reason_of
from services.dispatcher.forecasts.forecaster import (
    Forecaster,
    builder_of,
    forecast_of,
    simulation_of,
    unknown_reason,
)
from services.dispatcher.forecasts.slices import run_in_slices
from services.dispatcher.forecasts.work_reader import WorkReader
from services.dispatcher.state.state import DispatcherState

_NEW = UUID(int=0)
"""Stands for the batch that is asked about."""
_MAX_WAITING = 20
"""Questions that wait for their turn; one more is told to ask later."""
_SEED = 1
_MIN_DELAY_S, _MIN_DELAY = 1.0, 0.05
"""Seconds, and part of the time that is left, by which a batch has to end later to be named."""
_NO_WORKER = WaitReason(code="no_worker", detail="No worker has announced the workload. Start one.")
_BUSY = WaitReason(code="too_many_estimates", detail="Too many estimates are asked for at present. Ask again later.")


class Estimator:
    """Message handler of estimates. One is made at a time."""

    def __init__(self, state: DispatcherState, reader: WorkReader, forecaster: Forecaster) -> None:
        self._state, self._reader, self._forecaster = state, reader, forecaster
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def on_estimate_query(self, query: EstimateQuery, _: Envelope) -> EstimateReply:
        """Return the estimate."""
        if self._waiting >= _MAX_WAITING:
            return _unknown(query, _BUSY, datetime.now(UTC))
        self._waiting += 1
        try:
            async with self._turn:
                return await self._estimate(query, time.monotonic(), datetime.now(UTC))
        finally:
            self._waiting -= 1

    async def _estimate(self, query: EstimateQuery, now: float, at: datetime) -> EstimateReply:
        queue = self._state.workload_queues.get(query.workload)
        if queue is None or not queue.is_announced:
            return _unknown(query, _NO_WORKER, at)
        if (reason := unknown_reason(queue, now, at)) is not None:
            return _unknown(query, reason, at)
        new = self._work_of(query, now, at)
        left, _ = await self._reader.read(at)
        others = left.of_workload(query.workload)
        with_new, without = builder_of(queue, now), builder_of(queue, now)
        if blocked := with_new.find_blocked(new.destinations):
            return _unknown(query, reason_of(blocked.wait, now, at), at)
        (load, ends), _ = await run_in_slices(simulation_of(with_new, {_NEW: new, **others}, _SEED))
        end, simulated = ends[0], ends[0].interval
        if not simulated.is_known:
            return _unknown(query, NO_END, at)
        told = self._forecaster.calibrated(query.workload, query.priority, simulated)
        (_, before), _ = await run_in_slices(simulation_of(without, others, _SEED))
        delays = list(_delays(list(others)[: MAX_BATCHES - 1], before, ends[1:]))
        own = [one for one in delays if self._owner_of(one.batch_id) == query.owner]
        reply = EstimateReply(
            items=_items(query),
            forecast=forecast_of(told, end, at),
            delays=own[:MAX_DELAYED],
            delays_of_others=len(delays) - len(own),
        )
        if (deadline := query.terms.deadline) is None:
            return reply
        within_s = (deadline - at).total_seconds()
        chance = _chance(end, simulated, told, within_s)
        alternatives = [] if chance >= HIGH else await self._alternatives(query, load, end, told, within_s)
        return reply.model_copy(update={"chance": chance, "alternatives": alternatives})

    def _work_of(self, query: EstimateQuery, now: float, at: datetime) -> BatchWork:
        terms = query.terms
        starts_s = (terms.not_before - at).total_seconds() if terms.not_before else 0.0
        destinations = [DestinationWork(one.partition, waiting=one.items) for one in query.partitions if one.items]
        if query.other_items:
            destinations.append(DestinationWork("", waiting=query.other_items))
        return BatchWork(
            self._reader.load_of(query.owner, query.priority, terms),
            destinations,
            BatchLimits.of(terms, now, None, has_started=False),
            max(0.0, starts_s),
        )

    async def _alternatives(
        self, query: EstimateQuery, load: WorkloadLoad, end: BatchEnd, told: Interval, within_s: float
    ) -> list[Alternative]:
        """Return the first change of each kind by which nine of ten such batches end in time."""
        found: dict[str, Alternative] = {}
        if within_s <= 0:
            return []
        for variant in variants_of(load, end, told.p90 / within_s):
            if variant.alternative.kind not in found:
                ends, _ = await run_in_slices(simulate(variant.load, _SEED))
                interval = self._forecaster.calibrated(query.workload, query.priority, ends[0].interval)
                if interval.p90 <= within_s:
                    found[variant.alternative.kind] = variant.alternative
        return list(found.values())

    def _owner_of(self, batch_id: UUID) -> str | None:
        batch = self._state.batches.get(batch_id)
        return batch.owner if batch else None


def _delays(others: list[UUID], before: list[BatchEnd], after: list[BatchEnd]) -> Iterator[DelayedBatch]:
    """Yield the batches that end later with the new one, the longest delay first."""
    found = []
    for batch_id, one, other in zip(others, before, after, strict=False):
        was_s, is_s = one.interval.p50, other.interval.p50
        if is_s - was_s > max(_MIN_DELAY_S, _MIN_DELAY * was_s) and is_s < 1e9:
            found.append(DelayedBatch(batch_id=batch_id, by_s=round(is_s - was_s, 1)))
    yield from sorted(found, key=lambda one: -one.by_s)


def _chance(end: BatchEnd, simulated: Interval, told: Interval, within_s: float) -> float:
    """Return the share of the cases that end in time, with ends as early or late as they were found to be."""
    factor = told.p50 / simulated.p50 if simulated.p50 else 1.0
    spread = told.spread / simulated.spread
    middle = max(simulated.p50, 1e-3)
    ends = factor * middle * (end.seconds.clip(1e-3) / middle) ** spread
    return round(float((ends <= within_s).mean()), 2)


def _items(query: EstimateQuery) -> int:
    return sum(one.items for one in query.partitions) + query.other_items


def _unknown(query: EstimateQuery, reason: WaitReason, at: datetime) -> EstimateReply:
    return EstimateReply(items=_items(query), forecast=Forecast(reason=reason, at=at))
