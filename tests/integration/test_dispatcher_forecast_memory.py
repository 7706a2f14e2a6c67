"""Forecasts go on from what an earlier dispatcher has learned."""

import random
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from batchyard_contracts.v1.flow import WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest
from devstack import Servers
from services.dispatcher.domain.forecasting.calibration import Interval
from tests.support.dispatcher_parts import Parts, dispatcher_parts

SIMULATED = Interval(80.0, 100.0, 125.0)
WORKLOAD = Manifest(name="w", version="1", item_schema={}, result_schema={}, concurrency=10)


async def start(parts: Parts) -> None:
    """Let a dispatcher load its state, with the workload among it."""
    announced = WorkerAnnounced(worker_id="w0", manifests=[WORKLOAD], started_at=datetime.now(UTC))
    await parts.stores.batches.save_manifests(announced, redelivered=False)
    await parts.components.load(lambda: None)


def learn(parts: Parts) -> None:
    """Let a dispatcher have seen items of two seconds, and batches that end three times as late as simulated."""
    queue, forecaster = parts.state.workload_queue("w"), parts.components.forecaster
    for number in range(250):
        queue.service_times.record("a\x00.example", 10, 20.0)
        queue.pace.record(10, 5.0)
        queue.pace.look(float(number), 10.0, 2.0, is_busy=True)
        forecaster._record.tell(number, ("w", "normal"), SIMULATED, 10, 0.0)
        forecaster._record.end(number, random.Random(number).uniform(250.0, 350.0))


async def test_the_next_dispatcher_forecasts_as_the_one_before(clean: Servers) -> None:
    async with dispatcher_parts(clean) as make:
        before, after = make(), make()
        await start(before)
        learn(before)
        await before.components.forecast_memory.save()
        await start(after)
        learned, taken = before.state.workload_queue("w"), after.state.workload_queue("w")
        assert taken.service_times == learned.service_times
        assert taken.pace.slots(10.0) == learned.pace.slots(10.0) != (10.0, 0.1)
        told = [x.components.forecaster.calibrated("w", "normal", SIMULATED) for x in (before, after)]
        assert told[0] == told[1]
        assert told[0].p50 == pytest.approx(300, rel=0.1)
        learn(after)
        learn(before)
        assert [len(x._errors) for x in after.components.forecaster._record.calibrations.values()] == [200]


async def test_an_unreadable_document_is_learned_anew(clean: Servers) -> None:
    async with dispatcher_parts(clean) as make:
        before, after = make(), make()
        await start(before)
        await before.pool.execute("""UPDATE workloads SET learned = '{"service_times": 7}'""")
        with capture_logs() as lines:
            await start(after)
        assert [line["workload"] for line in lines if line["event"] == "learned forecasts not read"] == ["w"]
        assert after.state.workload_queue("w").service_times.outcomes == 0
        learn(after)
        await after.components.forecast_memory.save()
        assert await after.pool.fetchval("SELECT learned FROM workloads") != '{"service_times": 7}'


async def test_nothing_is_saved_while_nothing_is_learned(clean: Servers) -> None:
    async with dispatcher_parts(clean) as make:
        parts = make()
        await start(parts)
        learn(parts)
        await parts.components.forecast_memory.save()
        await parts.pool.execute("UPDATE workloads SET learned = 'saved before'")
        parts.state.workload_queue("w").pace.look(1000.0, 10.0, 2.0, is_busy=False)
        await parts.components.forecast_memory.save()
        assert await parts.pool.fetchval("SELECT learned FROM workloads") == "saved before"
        parts.state.workload_queue("w").service_times.record("a.example", 10, 20.0)
        await parts.components.forecast_memory.save()
        assert await parts.pool.fetchval("SELECT learned FROM workloads") != "saved before"
