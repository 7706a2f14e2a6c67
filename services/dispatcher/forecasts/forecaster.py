"""Forecasts the ends of all running batches, publishes them, and scores them against the ends that come.

All batches of a workload are simulated together. The pause after a round is so long that the simulations take at most
two percent of a processor, and that the database is asked for at most a tenth of the time.
"""

import asyncio
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import structlog

from batchyard_contracts import topology
from batchyard_contracts.v1.events import BatchFinished, BatchForecast
from batchyard_contracts.v1.values import MAX_SECONDS, Forecast, Priority, WaitReason
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.forecasting.calibration import Interval
from services.dispatcher.domain.forecasting.load import WorkloadLoad
from services.dispatcher.domain.forecasting.load_builder import (
    MAX_BATCHES,
    BatchWork,
    LoadBuilder,
    destinations_for_each,
)
from services.dispatcher.domain.forecasting.reasons import (
    MIN_OUTCOMES,
    NO_END,
    TOO_FEW_OUTCOMES,
    TOO_MANY_BATCHES,
    TOO_MANY_DESTINATIONS,
)
from services.dispatcher.domain.forecasting.simulation import BatchEnd, simulate
from services.dispatcher.domain.forecasting.track_record import TrackRecord
from services.dispatcher.domain.waiting import reason_of, wait_of_workload
from services.dispatcher.forecasts.score_metrics import count_scored
from services.dispatcher.forecasts.slices import run_in_slices
from services.dispatcher.forecasts.work_reader import WorkLeft, WorkReader, together
from services.dispatcher.state.state import DispatcherState, WorkloadQueue
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.runtime.errors import PublishFailed

log = structlog.get_logger()
INTERVAL_S = 1.0
"""Seconds between two rounds, unless they cost more."""
_MAX_SHARE = 0.02
"""Part of a processor that the simulations take at most."""
_MAX_ASKED, _LONGEST_WAIT_S = 0.1, 30.0
"""Part of the time for which the database is asked, and the longest pause after answers that were slow."""
_REPEAT_S = 10.0
"""Seconds after which a forecast is published again though it has not changed."""
_NOTABLE = 0.1
"""Change of a time, as a part of the time that is left, that is published at once."""


@dataclass(slots=True)
class _Published:
    """The forecast of a batch that was published last, and what it was made for."""

    forecast: Forecast
    at: float
    terms: tuple[object, ...]
    round: int


class Forecaster:
    """Forecasts of the running batches."""

    def __init__(
        self,
        state: DispatcherState,
        reader: WorkReader,
        publisher: Publisher,
        record: TrackRecord,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state, self._reader, self._publisher, self._clock = state, reader, publisher, clock
        self._record = record
        self._published: dict[UUID, _Published] = {}
        self._seed = 0

    async def update(self) -> float:
        """Forecast the ends, and publish those that have changed; return the pause until the next round in seconds.

        Raises the errors of workloads that cannot be forecast, after the others.
        """
        now, at = self._clock(), datetime.now(UTC)
        for queue in self._state.workload_queues.values():
            queue.pace.look(now, queue.slots, queue.service_times.mean_s, is_busy=queue.window.is_supplied)
        left, cost_s = await self._reader.read(at)
        found: dict[UUID, Forecast] = {}
        errors: list[Exception] = []
        for workload in dict.fromkeys(batch.workload for batch, _ in left.batches.values()):
            try:
                forecasts, took_s = await self._forecast(workload, left, now, at)
            except Exception as error:  # noqa: BLE001  whatever fails for one workload, the others go on
                errors.append(error)
            else:
                found |= forecasts
                cost_s += took_s
        await self._publish(found, now)
        if errors:
            raise ExceptionGroup("ends not forecast", errors)
        return max(INTERVAL_S, cost_s / _MAX_SHARE, min(_LONGEST_WAIT_S, left.asked_s / _MAX_ASKED))

    def calibrated(self, workload: str, priority: Priority, simulated: Interval) -> Interval:
        """Return the interval of a batch that is about to start."""
        return self._record.at_start((workload, priority), simulated)

    def record_end(self, finished: BatchFinished) -> None:
        """Score the forecasts of a round that has ended by itself. An error is only logged, since it ends anyway."""
        try:
            self._record_end(finished)
        except Exception:
            log.exception("forecasts not scored", batch_id=str(finished.batch_id))

    def _record_end(self, finished: BatchFinished) -> None:
        batch = self._state.batches.get(finished.batch_id)
        if batch is not None and batch.round > finished.round:  # told again, and a later round has begun
            return
        self._published.pop(finished.batch_id, None)
        if finished.stop_reason or finished.result == "cancelled":
            self._record.forget(finished.batch_id)
            return
        for scored in self._record.end(finished.batch_id, self._clock()):
            count_scored(finished.workload, scored)

    async def _forecast(
        self, workload: str, left: WorkLeft, now: float, at: datetime
    ) -> tuple[dict[UUID, Forecast], float]:
        """Return the forecasts of the batches of a workload, and the processor time that they took."""
        queue, works = self._state.workload_queue(workload), left.of_workload(workload)
        if (reason := unknown_reason(queue, now, at)) is not None:
            return {batch_id: Forecast(reason=reason, at=at) for batch_id in works}, 0.0
        builder = builder_of(queue, now)
        self._seed += 1
        (_, ends), took_s = await run_in_slices(simulation_of(builder, works, self._seed))
        found = {}
        for batch_id, end in zip(islice(works, MAX_BATCHES), ends, strict=False):
            await asyncio.sleep(0)  # messages are handled between two batches
            work = works[batch_id]
            blocked = builder.find_blocked(islice(work.destinations, 50))
            if batch_id in left.incomplete:
                found[batch_id] = Forecast(reason=TOO_MANY_DESTINATIONS, at=at)
            elif blocked is not None:
                found[batch_id] = Forecast(reason=reason_of(blocked.wait, now, at), at=at)
            else:
                found[batch_id] = self._told(left.batches[batch_id][0], work, end, now, at)
        found |= {x: Forecast(reason=TOO_MANY_BATCHES, at=at) for x in islice(works, MAX_BATCHES, None)}
        return found, took_s

    def _told(self, batch: Batch, work: BatchWork, end: BatchEnd, now: float, at: datetime) -> Forecast:
        simulated = end.interval
        if not simulated.is_known:
            return Forecast(reason=NO_END, at=at)
        published = self._published.get(batch.batch_id)
        if published is not None and (published.terms, published.round) != (_terms_of(batch), batch.round):
            self._record.forget(batch.batch_id)
        told = self._record.tell(batch.batch_id, (batch.workload, batch.priority), simulated, work.left, now)
        return forecast_of(told, end, at)

    async def _publish(self, found: Mapping[UUID, Forecast], now: float) -> None:
        """Publish what has changed notably, or was published some time ago."""
        messages = []
        for batch_id, forecast in found.items():
            batch, published = self._state.batches.get(batch_id), self._published.get(batch_id)
            if batch is None or (published and not _is_due(published, forecast, now)):
                continue
            self._published[batch_id] = _Published(forecast, now, _terms_of(batch), batch.round)
            messages.append(_message(batch, forecast))
        for batch_id in self._published.keys() - self._state.batches.keys():
            del self._published[batch_id]
            self._record.forget(batch_id)
        for batch_id in [x for x in self._published if self._state.batches[x].paused]:
            self._record.forget(batch_id)
        if messages:
            try:
                await self._publisher.publish(messages)
            except PublishFailed as error:
                log.info("forecasts dropped", messages=len(messages), error=str(error))


def builder_of(queue: WorkloadQueue, now: float) -> LoadBuilder:
    """Return a builder for the load of a workload, without any batch."""
    return LoadBuilder(queue.window, queue.service_times, queue.pace.slots(queue.slots), now)


def simulation_of(
    builder: LoadBuilder, works: Mapping[UUID, BatchWork], seed: int
) -> Generator[None, None, tuple[WorkloadLoad, list[BatchEnd]]]:
    """Return the load of batches, those beyond `MAX_BATCHES` as one, and their simulated ends."""
    most = destinations_for_each(min(len(works), MAX_BATCHES))
    for work in islice(works.values(), MAX_BATCHES):
        builder.add(work, most)
        yield
    if others := list(islice(works.values(), MAX_BATCHES, None)):
        builder.add((yield from together(others)), most)
    load = builder.build()
    return load, (yield from simulate(load, seed))


def forecast_of(told: Interval, end: BatchEnd, at: datetime) -> Forecast:
    """Return the forecast for an interval in seconds."""
    p10, p50, p90 = (at + timedelta(seconds=min(seconds, MAX_SECONDS)) for seconds in told[:3])
    code, detail = end.reason
    return Forecast(p10=p10, p50=p50, p90=p90, reason=WaitReason(code=code, detail=detail), at=at)


def unknown_reason(queue: WorkloadQueue, now: float, at: datetime) -> WaitReason | None:
    """Return the reason for which no end of a workload's batches is known; None if ends are."""
    if wait := wait_of_workload(queue.window):
        return reason_of(wait, now, at)
    return TOO_FEW_OUTCOMES if queue.service_times.outcomes < MIN_OUTCOMES else None


def _terms_of(batch: Batch) -> tuple[object, ...]:
    return (batch.priority, batch.terms.weight, batch.terms.rate, batch.terms.concurrency, batch.terms.not_before)


def _is_due(published: _Published, forecast: Forecast, now: float) -> bool:
    before = published.forecast
    if now - published.at >= _REPEAT_S or (before.p50 is None) != (forecast.p50 is None):
        return True
    if (before.reason and before.reason.code) != (forecast.reason and forecast.reason.code):
        return True
    if before.p90 is None or forecast.p90 is None or before.p50 is None or forecast.p50 is None:
        return False
    left_s = max(1.0, (forecast.p50 - forecast.at).total_seconds())
    moved_s = max(abs((forecast.p50 - before.p50).total_seconds()), abs((forecast.p90 - before.p90).total_seconds()))
    return moved_s >= _NOTABLE * left_s


def _message(batch: Batch, forecast: Forecast) -> OutgoingMessage:
    event = BatchForecast(
        workload=batch.workload,
        owner=batch.owner,
        batch_id=batch.batch_id,
        round=batch.round,
        forecast=forecast,
    )
    return OutgoingMessage(
        topology.EVENTS,
        event.routing_key(),
        event.type,
        event.encode(),
        traceparent=batch.traceparent,
        persistent=False,
    )
