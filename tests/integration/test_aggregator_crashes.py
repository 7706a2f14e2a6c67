"""Tests that crashes of the aggregator lose no message, and that wrong counters are repaired."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from batchyard_contracts.v1.events import BatchFinished
from devstack import Servers
from shared.postgres.outbox import Outbox
from tests.support.ledger_messages import BATCH, accepted, controlled, processed
from tests.support.patience import PATIENCE_S
from tests.support.running_aggregator import Neighbours, aggregator, at_work, neighbours

pytestmark = pytest.mark.faults


@asynccontextmanager
async def process(servers: Servers) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the service as a process of its own; kill it at the end."""
    environment = os.environ | servers.environment() | {"BATCHYARD_AGGREGATOR_OUTBOX_INTERVAL_S": "0.5"}
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.aggregator",
        env=environment,
        cwd=Path(__file__).parents[2],
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def test_a_crash_between_commit_and_publish_loses_no_message(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with neighbours(clean) as around:
        with monkeypatch.context() as crash:
            crash.setattr(Outbox, "enqueue", lambda _, messages: None)
            crash.setattr(Outbox, "update", never)
            async with aggregator(clean):
                await around.send(accepted(2), processed({0: "succeeded", 1: "failed"}))
                await around.until_row("SELECT 1 FROM batches WHERE status = 'finished'")
        assert await around.rows("UPDATE outbox SET due_at = now() RETURNING sent_at") == [{"sent_at": None}]
        async with aggregator(clean):
            (end,) = await around.finished()
            assert (end.batch_id, end.result) == (BATCH, "partial")
            await around.until_row("SELECT 1 FROM outbox WHERE sent_at IS NOT NULL")
            await around.recorded()
        assert len(await around.finished()) == 1


async def never(_: Outbox) -> None:
    """Stands in for the outbox of a dead process."""


async def test_repeated_kills_lose_no_outcome_and_repeat_no_end(clean: Servers) -> None:
    """The process is killed three times while 30 batches are recorded."""
    ids = [uuid4() for _ in range(30)]
    async with at_work(clean):  # so that tables and queues are there
        pass
    async with neighbours(clean) as around:
        await around.send(*(accepted(400, batch_id=batch_id) for batch_id in ids))
        for start in range(0, 400, 20):
            outcomes = dict.fromkeys(range(start, start + 20), "succeeded")
            await around.send(*(processed(outcomes, batch_id=batch_id) for batch_id in ids))
        for share in (1000, 4000, 8000):
            async with process(clean) as service:
                await recorded_at_least(around, share)
                service.send_signal(signal.SIGKILL)
                assert await service.wait() == -signal.SIGKILL
        async with process(clean) as service:
            await around.until(lambda: {end.batch_id for end in around.all(BatchFinished)} == set(ids))
            await around.recorded()
            await around.until_row("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE sent_at IS NULL)")
            service.terminate()
            assert await asyncio.wait_for(service.wait(), PATIENCE_S) == 0
        rows = await around.rows(
            "SELECT succeeded, status, result, (SELECT count(*) FROM outcomes WHERE batch = id) AS counted"
            " FROM batches WHERE owner = 'ann'"
        )
        assert rows == [{"succeeded": 400, "status": "finished", "result": "completed", "counted": 400}] * 30
        assert len(await around.rows("SELECT 1 FROM outbox WHERE type = 'batch.finished.v1'")) == 31


async def recorded_at_least(around: Neighbours, number: int) -> None:
    await around.until_row("SELECT 1 FROM outcomes HAVING count(*) >= $1", number)


async def test_counters_that_differ_from_the_rows_are_repaired(clean: Servers) -> None:
    async with at_work(clean, aggregator_reconcile_interval_s=0.2, aggregator_reconcile_idle_s=0) as around:
        await around.send(accepted(3), processed({0: "succeeded", 1: "failed", 2: "retry"}))
        await around.until_row("SELECT 1 FROM batches WHERE succeeded = 1 AND checked_at > changed_at")
        await around.execute(
            "UPDATE batches SET succeeded = 3, failed = 0, total = 2, changed_at = now(), checked_at = NULL"
        )
        (end,) = await around.finished()
        assert (end.result, end.counts.succeeded, end.counts.failed) == ("partial", 1, 1)
        await around.send(controlled("retry", 10))
        await around.until_row("SELECT 1 FROM batches WHERE round = 2 AND checked_at > changed_at AND failed = 0")
