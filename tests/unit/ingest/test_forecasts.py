"""Forecasts reach those who watch a batch, and the states that HTTP shows."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from batchyard_contracts.v1.events import BatchForecast
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Counts, Forecast
from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.progress import forecasts as module
from services.ingest.progress.forecasts import MAX_AGE, Forecasts
from services.ingest.progress.hub import ProgressHub
from shared.redis.client import RedisClient

BATCH = UUID(int=1)


def event(p50_s: float = 60, *, round_: int = 1, age_s: float = 0, batch: UUID = BATCH) -> BatchForecast:
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    p10, p50, p90 = (at + timedelta(seconds=p50_s * factor) for factor in (0.8, 1, 1.3))
    forecast = Forecast(p10=p10, p50=p50, p90=p90, at=at)
    return BatchForecast(workload="w", owner="ann", batch_id=batch, round=round_, forecast=forecast)


def snapshot(ended: int, *, status: str = "running", final: bool = False, round_: int = 1) -> ProgressSnapshot:
    kind = "batch.finished.v1" if final else "batch.progressed.v1"
    fields = {"type": kind, "owner": "ann", "round": round_, "counts": {"succeeded": ended}}
    return ProgressSnapshot.from_fields(fields | ({} if final else {"status": status}))


def state(status: str = "running", round_: int = 1) -> BatchState:
    fields = {"batch_id": BATCH, "owner": "ann", "workload": "w", "priority": "normal", "status": status}
    return BatchState.model_validate(fields | {"round": round_, "counts": Counts(), "accepted_at": datetime.now(UTC)})


@pytest.fixture
async def hub() -> ProgressHub:
    return ProgressHub(RedisClient("redis://127.0.0.1:1"))


def test_the_newest_forecast_of_a_round_counts() -> None:
    known = Forecasts()
    newer = event(10)
    assert known.put(newer)
    assert not known.put(event(99, age_s=30))
    assert known.of(BATCH, 1) == newer.forecast
    assert known.of(BATCH, 2) is None
    known.drop(BATCH)
    assert known.of(BATCH, 1) is None


def test_an_old_forecast_is_not_shown() -> None:
    known = Forecasts()
    known.put(event(age_s=MAX_AGE.total_seconds() + 1))
    assert known.of(BATCH, 1) is None


def test_the_number_of_forecasts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FORECASTS", 3)
    known = Forecasts()
    for number in range(1, 6):
        known.put(event(batch=UUID(int=number)))
    assert [known.of(UUID(int=number), 1) is not None for number in range(1, 6)] == [False, False, True, True, True]


@pytest.mark.parametrize("status", ["open", "paused", "finished"])
def test_only_a_running_batch_has_a_forecast(status: str) -> None:
    known = Forecasts()
    told = event()
    known.put(told)
    assert [one.forecast for one in known.add_to([state(), state(status)])] == [told.forecast, None]


async def test_a_watcher_gets_the_forecast_with_the_progress(hub: ProgressHub) -> None:
    async with hub.watch("ann", BATCH) as watcher:
        hub.publish(BATCH, snapshot(1))
        assert "forecast" not in json.loads((await watcher.next()).body)
        hub.publish_forecast(event(10))
        first = json.loads((await watcher.next()).body)
        assert first["counts"]["succeeded"] == 1
        hub.publish(BATCH, snapshot(2))
        second = json.loads((await watcher.next()).body)
        assert second["forecast"] == first["forecast"]
        hub.publish_forecast(event(20))
        assert json.loads((await watcher.next()).body)["forecast"] != first["forecast"]
        hub.publish(BATCH, snapshot(3, final=True))
        assert "forecast" not in json.loads((await watcher.next()).body)


async def test_a_forecast_of_an_earlier_round_is_not_sent(hub: ProgressHub) -> None:
    async with hub.watch("ann", BATCH) as watcher:
        hub.publish_forecast(event(round_=1))
        hub.publish(BATCH, snapshot(1, round_=2))
        assert "forecast" not in json.loads((await watcher.next()).body)


async def test_nothing_is_kept_of_a_batch_that_nobody_watches(hub: ProgressHub) -> None:
    async with hub.watch("ann", BATCH):
        hub.publish(BATCH, snapshot(1))
    assert not hub._latest
