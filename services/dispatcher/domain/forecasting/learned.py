"""Holds what forecasts of one workload are made from, as far as it outlasts a process."""

from dataclasses import dataclass, field
from typing import NamedTuple

from services.dispatcher.domain.forecasting.calibration import Calibration
from services.dispatcher.domain.forecasting.service_times import ServiceTimes
from services.dispatcher.domain.forecasting.worker_pace import WorkerPace


class Calibrated(NamedTuple):
    """Errors of earlier forecasts of one priority, made at one stage of their batches."""

    priority: str
    stage: str
    calibration: Calibration


@dataclass(slots=True)
class Learned:
    """Durations of the items of one workload, the pace of its workers, and the errors of earlier forecasts."""

    service_times: ServiceTimes = field(default_factory=ServiceTimes)
    pace: WorkerPace = field(default_factory=WorkerPace)
    calibrations: list[Calibrated] = field(default_factory=list)
