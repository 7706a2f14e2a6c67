"""Replicas of ingest are killed at random moments while schedules are due: each time starts once all the same."""

import asyncio
import logging
import random
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from batchyard_contracts.v1.events import ScheduleFired
from devstack import Servers
from tests.support.ingest_process import ingest_process
from tests.support.patience import PATIENCE_S, until
from tests.support.running_ingest import connect_harness

pytestmark = pytest.mark.faults

SCHEDULES, MINUTES, KILLS = 12, 15, 5
SCHEDULE = {
    "cron": "* * * * *",
    "batch": {"workload": "squares", "items": [{"payload": {"n": 1}}]},
    "overlap": "allow",
    "missed": "all",
    "catch_up_s": 86_400,
}


async def test_each_time_starts_once_while_replicas_are_killed(clean: Servers, tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    logging.getLogger(__name__).warning("seed %s", seed)  # pytest shows it wherever the test fails
    rng = random.Random(seed)
    async with AsyncExitStack() as stack:
        steady = await stack.enter_async_context(ingest_process(clean, tmp_path / "steady"))
        harness = await stack.enter_async_context(connect_harness(clean, steady.port))
        await harness.announce()
        for number in range(SCHEDULES):
            async with harness.http.put(f"{harness.url}/schedules/s{number}", json=SCHEDULE) as response:
                assert response.status == 200
        victims = [
            await stack.enter_async_context(ingest_process(clean, tmp_path / f"victim-{number}"))
            for number in range(KILLS)
        ]
        async with asyncio.timeout(PATIENCE_S):
            for number, victim in enumerate(victims):
                await harness.rows(
                    "UPDATE schedules SET next_at = date_trunc('minute', now()) - make_interval(mins => $1)",
                    MINUTES * (number + 1),
                )
                await harness.wait_for(ScheduleFired, len(harness.all(ScheduleFired)) + rng.randrange(1, 40))
                await victim.end(signal.SIGKILL)

        async def left() -> list[dict[str, Any]]:
            """Bring starts forward that a killed replica has begun, and return what is not done."""
            await harness.rows("UPDATE schedule_runs SET due_at = now() WHERE state = 'starting'")
            return await harness.rows(
                "SELECT FROM schedule_runs WHERE state IN ('waiting', 'starting') "
                "UNION ALL SELECT FROM schedules WHERE next_at <= now()"
            )

        await until(left, lambda rows: not rows, pause_s=0.2)
        runs = await harness.rows("SELECT schedule_id, nominal_at, state, batch_id FROM schedule_runs")
        assert {run["state"] for run in runs} == {"started"}
        assert len(runs) >= SCHEDULES * MINUTES * KILLS
        batches = {row["batch_id"] for row in await harness.rows("SELECT batch_id FROM batches")}
        assert batches == {run["batch_id"] for run in runs}
        assert len(batches) == len(runs)
        await harness.wait_until(lambda: {one.batch_id for one in harness.all(ScheduleFired)} >= batches)
