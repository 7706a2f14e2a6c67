"""Newest forecasts of running batches, as the dispatcher sends them to every process of ingest."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from batchyard_contracts.v1.events import BatchForecast
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Forecast

MAX_FORECASTS = 10_000
"""Forecasts that are kept; the one that came first goes first."""
MAX_AGE = timedelta(minutes=5)
"""Age at which a forecast says nothing any more, such as while no dispatcher runs."""


class Forecasts:
    """Forecasts by batch, in memory."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._known: OrderedDict[UUID, BatchForecast] = OrderedDict()

    def put(self, event: BatchForecast) -> bool:
        """Keep a forecast; False if a newer one is known."""
        known = self._known.get(event.batch_id)
        if known is not None and (known.round, known.forecast.at) > (event.round, event.forecast.at):
            return False
        self._known[event.batch_id] = event
        self._known.move_to_end(event.batch_id)
        if len(self._known) > MAX_FORECASTS:
            self._known.popitem(last=False)
        return True

    def drop(self, batch_id: UUID) -> None:
        """Forget the forecast of a batch that has ended."""
        self._known.pop(batch_id, None)

    def of(self, batch_id: UUID, round_: int) -> Forecast | None:
        """Return the forecast of a round; None if there is none, or if it is old."""
        known = self._known.get(batch_id)
        if known is None or known.round != round_ or self._clock() - known.forecast.at > MAX_AGE:
            return None
        return known.forecast

    def add_to(self, states: Sequence[BatchState]) -> list[BatchState]:
        """Return states of batches, the running ones with their forecasts."""
        return [
            state.model_copy(update={"forecast": forecast})
            if state.status == "running" and (forecast := self.of(state.batch_id, state.round))
            else state
            for state in states
        ]
