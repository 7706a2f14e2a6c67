"""The dispatcher forecasts the ends of its batches, tells why it cannot, and scores what it told."""

import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from structlog.testing import capture_logs

from batchyard_contracts.v1.events import BatchForecast
from batchyard_contracts.v1.values import Forecast, Rate, Terms, WaitReason
from devstack import Servers
from services.dispatcher.domain.forecasting.track_record import TrackRecord
from services.dispatcher.domain.forecasting.worker_pace import WorkerPace
from services.dispatcher.forecasts import forecaster as forecasts
from services.dispatcher.forecasts import work_reader
from services.dispatcher.forecasts.forecaster import Forecaster
from services.dispatcher.forecasts.work_reader import WorkReader
from services.dispatcher.persistence.retry_store import RetriesAhead
from services.dispatcher.state.state import WorkloadQueue
from shared.messaging.publisher import Publisher
from tests.support.dispatcher_parts import Parts, again, dispatcher_parts

HOSTS = {"pointer": "/url", "by": "host"}


@pytest.fixture
async def parts(clean: Servers) -> AsyncIterator[Parts]:
    """A dispatcher with a worker of ten slots for the workload "w", whose items take a second."""
    async with dispatcher_parts(clean) as make:
        made = make()
        made.add_workload("w", chunk_max=5, concurrency=10, partition=HOSTS)
        yield made


def learn(parts: Parts, seconds: float = 1.0, partition: str = "a.example") -> None:
    """Let the dispatcher have seen many items of a partition."""
    for _ in range(50):
        parts.state.workload_queue("w").service_times.record(partition, 10, 10 * seconds)


async def told(parts: Parts) -> dict[uuid.UUID, BatchForecast]:
    """Return the forecasts that a round publishes, by batch."""
    before = len(parts.outbox.sent)
    await parts.components.forecaster.update()
    sent = [BatchForecast.decode(m.body) for m in parts.outbox.sent[before:] if m.type == BatchForecast.type]
    return {event.batch_id: event for event in sent}


def seconds(event: BatchForecast) -> tuple[float, float, float]:
    forecast = event.forecast
    first, middle, last = (
        (at - forecast.at).total_seconds() for at in (forecast.p10, forecast.p50, forecast.p90) if at is not None
    )
    return first, middle, last


def code_of(forecast: Forecast) -> str | None:
    return forecast.reason.code if forecast.reason else None


async def test_the_end_is_an_interval_with_what_binds(parts: Parts) -> None:
    learn(parts)
    batch = await parts.add_batch({"a.example": 1000})
    event = (await told(parts))[batch]
    assert (event.workload, event.owner, event.round) == ("w", "o", 1)
    p10, p50, p90 = seconds(event)
    assert p10 < p50 < p90
    assert p50 == pytest.approx(100, rel=0.2)
    assert code_of(event.forecast) == "workers_busy"


async def test_no_end_is_told_before_enough_items_have_run(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 1000})
    forecast = (await told(parts))[batch].forecast
    assert (forecast.p10, forecast.p50, forecast.p90) == (None, None, None)
    assert code_of(forecast) == "too_few_outcomes"


async def test_no_end_is_told_without_a_worker_or_behind_an_open_circuit(parts: Parts) -> None:
    learn(parts)
    batch = await parts.add_batch({"a.example": 10})
    window = parts.state.workload_queue("w").window
    window.workers = 0
    assert code_of((await told(parts))[batch].forecast) == "no_worker"
    window.workers = 1
    window.limits.limiters_of("a.example")[0].circuit.state = "open"
    assert code_of((await told(parts))[batch].forecast) == "circuit_open"


async def test_the_own_rate_of_a_batch_binds(parts: Parts) -> None:
    learn(parts)
    batch = await parts.add_batch({"a.example": 600}, terms=Terms(rate=Rate(per_second=2)))
    event = (await told(parts))[batch]
    assert seconds(event)[1] == pytest.approx(300, rel=0.1)
    assert code_of(event.forecast) == "rate_limit"


async def test_other_batches_and_the_start_make_the_end_later(parts: Parts) -> None:
    learn(parts)
    first = await parts.add_batch({"a.example": 1000})
    alone = seconds((await told(parts))[first])[1]
    later = Terms(not_before=datetime.now(UTC) + timedelta(seconds=500))
    second, third = await parts.add_batch({"a.example": 1000}), await parts.add_batch({"a.example": 10}, terms=later)
    events = await told(parts)
    assert seconds(events[first])[1] > 1.5 * alone
    assert seconds(events[second])[1] > 1.5 * alone
    assert seconds(events[third])[0] > 400
    assert code_of(events[third].forecast) == "not_before"


async def test_retries_that_are_due_later_count(parts: Parts) -> None:
    learn(parts)
    batch = await parts.add_batch({"a.example": 10})
    await parts.add_retries(batch, range(10, 15), "a.example")
    await parts.pool.execute("UPDATE retries SET due_at = now() + interval '300 s'")
    event = (await told(parts))[batch]
    assert seconds(event)[0] > 250
    assert code_of(event.forecast) == "retry_due_later"


async def test_items_in_the_table_and_in_memory_are_counted_once(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = await parts.add_batch({"a.example": 30, "b.example": 12})
    reader = WorkReader(parts.state, parts.stores)
    queue = parts.state.batch_queue(parts.state.batches[batch])
    assert queue is not None
    assert queue.backlog.has_more
    left, _ = await reader.read(datetime.now(UTC))
    assert left.batches[batch][1].left == 42
    window = parts.state.workload_queue("w").window
    window.workers = 0
    async with parts.dispatching():
        await parts.until(lambda: not queue.backlog.has_more)
    left, _ = await reader.read(datetime.now(UTC))
    assert left.batches[batch][1].left == 42
    queue.mark_backlog()
    monkeypatch.setattr(work_reader, "_MAX_SEGMENTS", 1)
    left, _ = await reader.read(datetime.now(UTC))
    assert left.incomplete == {batch}


async def test_reading_lets_others_run_whatever_is_left(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 1})
    reader, at = WorkReader(parts.state, parts.stores), datetime.now(UTC)
    few = sum(1 for _ in reader._collect([], {}, at))
    retries = [RetriesAhead(batch, f"{number}.example", 1, 0.0, 0.0) for number in range(2000)]
    assert sum(1 for _ in reader._collect(retries, {}, at)) >= few + 10
    rows = [(f"{number}.example", 1) for number in range(2000)]
    assert sum(1 for _ in reader._collect([], {batch: (rows, True)}, at)) >= few + 10


async def test_a_paused_batch_has_no_forecast(parts: Parts) -> None:
    learn(parts)
    batch = await parts.add_batch({"a.example": 100})
    assert batch in await told(parts)
    await parts.control(batch, "pause")
    assert await told(parts) == {}


async def test_a_forecast_is_repeated_only_when_it_changes_or_after_a_while(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(parts)
    batch = await parts.add_batch({"a.example": 1000})
    assert batch in await told(parts)
    assert await told(parts) == {}
    learn(parts, 3.0)
    assert batch in await told(parts), "items take longer now"
    monkeypatch.setattr(forecasts, "_REPEAT_S", 0.0)
    assert batch in await told(parts)


async def test_the_pause_between_two_rounds_keeps_the_cost_at_two_percent(parts: Parts) -> None:
    learn(parts)
    for _ in range(30):
        await parts.add_batch({"a.example": 100, "b.example": 50, "c.example": 20})
    began = time.thread_time()
    pause_s = await parts.components.forecaster.update()
    assert pause_s >= (time.thread_time() - began) / 0.02 / 3, "reading what is left costs less than twice as much"


@pytest.mark.parametrize(("answer_s", "pause_s"), [(0.5, 5.0), (60.0, 30.0)])
async def test_a_database_that_answers_slowly_is_asked_less_often(
    parts: Parts, answer_s: float, pause_s: float
) -> None:
    learn(parts)
    await parts.add_batch({"a.example": 10})
    times = iter((0.0, answer_s))
    reader = WorkReader(parts.state, parts.stores, lambda: next(times))
    forecaster = Forecaster(parts.state, reader, cast("Publisher", parts.outbox), TrackRecord())
    assert await forecaster.update() == pytest.approx(pause_s)


async def test_an_end_is_scored_once_and_a_cancelled_batch_never(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    monkeypatch.setattr(forecasts, "count_scored", lambda workload, scored: counted.append(scored.stage))
    learn(parts)
    batch, other = await parts.add_batch({"a.example": 10}), await parts.add_batch({"a.example": 10})
    await told(parts)
    await parts.finish(batch, 1)
    await parts.finish(batch, 1)
    assert counted == ["start"]
    cancelled = parts.finished(other, 1).model_copy(update={"result": "cancelled"})
    parts.components.forecaster.record_end(cancelled)
    assert counted == ["start"]


async def test_a_late_end_of_an_earlier_round_says_nothing_of_the_present_one(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    monkeypatch.setattr(forecasts, "count_scored", lambda workload, scored: counted.append(scored.stage))
    learn(parts)
    batch = await parts.add_batch({"a.example": 10})
    await parts.finish(batch, 1)
    await parts.reopen(batch, 2, range(5))
    assert (await told(parts))[batch].round == 2
    await parts.finish(batch, 1)
    assert counted == []
    await parts.finish(batch, 2)
    assert counted == ["start"]


async def test_an_error_for_one_workload_leaves_the_others_their_forecasts(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.add_workload("v", partition=HOSTS)
    await parts.add_batch({"a.example": 100}, workload="v")
    batch = await parts.add_batch({"a.example": 100})
    learn(parts)
    unknown_reason = forecasts.unknown_reason

    def broken(queue: WorkloadQueue, now: float, at: datetime) -> WaitReason | None:
        if queue.window.manifest.name == "v":
            raise ZeroDivisionError
        return unknown_reason(queue, now, at)

    monkeypatch.setattr(forecasts, "unknown_reason", broken)
    with pytest.raises(ExceptionGroup, match="ends not forecast"):
        await told(parts)
    assert [BatchForecast.decode(m.body).batch_id for m in parts.outbox.sent if m.type == BatchForecast.type] == [batch]


async def test_an_error_in_what_forecasts_learn_harms_no_batch(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(WorkerPace, "record", broken)
    monkeypatch.setattr(TrackRecord, "end", broken)
    batch = await parts.add_batch({"a.example": 1})
    async with parts.dispatching():
        await parts.until(lambda: bool(parts.outbox.chunks))
    with capture_logs() as lines:
        await parts.report(parts.outbox.chunks[0], [again(0)])
        assert not parts.state.leases
        await parts.finish(batch, 1)
    assert batch not in parts.state.batches
    assert [x["event"] for x in lines if "exc_info" in x] == [
        "forecasts learned nothing from a report",
        "forecasts not scored",
    ]


async def test_batches_beyond_those_that_are_simulated_one_by_one_are_told_so(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecasts, "MAX_BATCHES", 2)
    learn(parts)
    batches = [await parts.add_batch({"a.example": 100}) for _ in range(4)]
    events = await told(parts)
    assert [events[batch].forecast.p50 is not None for batch in batches] == [True, True, False, False]
    assert code_of(events[batches[3]].forecast) == "too_many_batches"
