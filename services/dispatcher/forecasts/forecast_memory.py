"""Saves what forecasts are made from, so that the next active dispatcher goes on with it."""

import asyncio
from dataclasses import fields

import structlog
from pydantic import TypeAdapter, ValidationError

from services.dispatcher.domain.forecasting.learned import Calibrated, Learned
from services.dispatcher.domain.forecasting.track_record import TrackRecord
from services.dispatcher.domain.forecasting.worker_pace import WorkerPace
from services.dispatcher.persistence.learned_store import LearnedStore
from services.dispatcher.state.state import DispatcherState

log = structlog.get_logger()
INTERVAL_S = 60.0
"""Seconds between two saves."""
_DOCUMENT = TypeAdapter(Learned)
_PASSING = {"pace": {one.name for one in fields(WorkerPace) if not one.init}}
"""Fields that change with every look at the workers, and say nothing to another process."""


class ForecastMemory:
    """Writes what was learned of each workload, and takes it over at the start."""

    def __init__(self, state: DispatcherState, store: LearnedStore, record: TrackRecord) -> None:
        self._state, self._store, self._record = state, store, record
        self._saved: dict[str, str] = {}

    async def load(self) -> None:
        """Take over what an earlier dispatcher has saved. A document that cannot be read is learned anew."""
        for workload, document in (await self._store.load()).items():
            try:
                learned = _DOCUMENT.validate_json(document)
            except ValidationError as error:
                log.warning("learned forecasts not read", workload=workload, error=str(error)[:300])
                continue
            queue = self._state.workload_queue(workload)
            queue.service_times, queue.pace = learned.service_times, learned.pace
            for priority, stage, calibration in learned.calibrations:
                self._record.calibrate((workload, priority), stage, calibration)
            self._saved[workload] = document

    async def save(self) -> None:
        """Save what has changed."""
        calibrations: dict[str, list[Calibrated]] = {}
        for (kind, stage), calibration in self._record.calibrations.items():
            workload, priority = kind
            calibrations.setdefault(workload, []).append(Calibrated(priority, stage, calibration))
        for workload, queue in list(self._state.workload_queues.items()):
            if not queue.service_times.outcomes:
                continue
            learned = Learned(queue.service_times, queue.pace, calibrations.get(workload, []))
            document = _DOCUMENT.dump_json(learned, exclude=_PASSING).decode()
            if document != self._saved.get(workload):
                await self._store.save(workload, document)
                self._saved[workload] = document
            await asyncio.sleep(0)  # messages are handled between two workloads
