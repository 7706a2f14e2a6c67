"""A quarantined chunk runs in real processes: items that kill, hang, are cancelled or stopped."""

import asyncio
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import psutil
import pytest

from batchyard_contracts.v1.flow import ChunkProcessed, ItemOutcome
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from services.worker.caching import result_cache
from services.worker.caching.result_cache import CachePolicy, ClaimRelease, ResultCache
from services.worker.execution.item_runner import ItemRunner
from services.worker.limits.rate_gate import RateGates
from services.worker.quarantine import isolated_chunk as isolated_chunk
from services.worker.quarantine.isolated_chunk import IsolatedChunk
from services.worker.quarantine.sandbox_pool import SandboxPool
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.redis.rate_reservations import RateReservations
from tests.support.chunk_runs import Away, paced
from tests.support.patience import PATIENCE_S

PLUGIN = Path(__file__).parents[2] / "support" / "poison"


class Harness:
    """Takes reports, and makes inquests."""

    def __init__(self, folder: Path, workload: Any) -> None:
        self.reports: list[ChunkProcessed] = []
        self.pool = SandboxPool("poison", 300)
        self.runs = folder / "runs"
        self.runner = ItemRunner(workload, None, cast("Publisher", self), cast("ResultCache", None), "w")

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        self.reports += [ChunkProcessed.decode(message.body) for message in messages]

    @property
    def outcomes(self) -> dict[int, ItemOutcome]:
        return {o.ordinal: o for report in self.reports for o in report.outcomes}

    def isolated(self, *payloads: dict[str, Any], per_second: float | None = None) -> IsolatedChunk:
        chunk = ChunkReady(
            chunk_id=UUID(int=1),
            fence=2,
            batch_id=UUID(int=2),
            owner="a",
            workload="poison",
            priority="normal",
            partition="",
            round=1,
            attempt=1,
            quarantined=True,
            items=[ChunkItem(ordinal=n, payload=payload) for n, payload in enumerate(payloads)],
        )
        return IsolatedChunk(self.runner, paced(chunk, per_second) if per_second else chunk, None, self.pool, 0.01)

    async def begun(self, count: int) -> list[int]:
        """Wait until so many items have begun: their processes."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.runs.exists() or len(lines := self.runs.read_text("ascii").splitlines()) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # a file tells nobody
        return [int(line.split()[2]) for line in lines]


@pytest.fixture
async def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Harness]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("POISON_RUNS", str(tmp_path / "runs"))
    spec = importlib.util.spec_from_file_location("poison", PLUGIN / "poison.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "poison", module)
    spec.loader.exec_module(module)
    made = Harness(tmp_path, module.workload)
    try:
        yield made
    finally:
        await made.pool.close()


def open_pipes() -> int:
    """Number of ends of pipes that this process holds."""
    return sum(descriptor.is_fifo() for descriptor in Path("/proc/self/fd").iterdir())


def nothing() -> None:
    """Nobody asks whether it is alive."""


WELL: dict[str, Any] = {"nap_s": 0.0}
SLOW = {"nap_s": 20.0}


async def test_the_item_that_ends_its_process_fails_and_the_others_succeed(harness: Harness) -> None:
    isolated = harness.isolated(*[WELL] * 5, {"nap_s": 0.2, "ends": "exit"}, *[{"nap_s": 0.3}] * 5)
    assert await isolated.run(nothing)
    assert [o.status for _, o in sorted(harness.outcomes.items())] == ["succeeded"] * 5 + ["failed"] + ["succeeded"] * 5
    error = harness.outcomes[5].error
    assert error is not None
    assert (error.code, "exit code 3" in error.message) == ("worker_lost", True)
    assert [report.final for report in harness.reports].count(True) == 1
    assert sum(len(report.outcomes) for report in harness.reports) == 11


async def test_an_item_that_cannot_be_interrupted_times_out(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated_chunk, "_GRACE_S", 0.5)
    harness.runner.manifest = harness.runner.manifest.model_copy(update={"item_timeout_s": 0.5})
    assert await harness.isolated(WELL, {"nap_s": 0.0, "ends": "hang"}, WELL).run(nothing)
    error = harness.outcomes[1].error
    assert error is not None
    assert (harness.outcomes[1].status, error.code) == ("retry", "timeout")
    assert [harness.outcomes[n].status for n in (0, 2)] == ["succeeded", "succeeded"]


async def test_a_cancel_ends_the_running_items(harness: Harness) -> None:
    isolated = harness.isolated(WELL, SLOW, SLOW)
    running = asyncio.create_task(isolated.run(nothing))
    await harness.begun(3)
    isolated.stop(cancelled=True)
    assert await asyncio.wait_for(running, PATIENCE_S)
    assert [harness.outcomes[n].status for n in range(3)] == ["succeeded", "cancelled", "cancelled"]
    assert harness.reports[-1].final


async def test_a_worker_that_stops_reports_what_has_ended_and_leaves_the_rest(harness: Harness) -> None:
    isolated = harness.isolated(WELL, SLOW)
    running = asyncio.create_task(isolated.run(nothing))
    await harness.begun(2)
    isolated.stop(cancelled=False)
    assert not await asyncio.wait_for(running, PATIENCE_S)
    assert list(harness.outcomes) == [0]
    assert not any(report.final for report in harness.reports)


async def test_a_process_killed_from_outside_blames_no_item(harness: Harness) -> None:
    running = asyncio.create_task(harness.isolated({"nap_s": 1.0}).run(nothing))
    (pid,) = await harness.begun(1)
    os.kill(pid, signal.SIGKILL)
    assert await running
    assert harness.outcomes[0].status == "succeeded"


async def test_a_process_that_does_not_start_blames_nobody(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    assert await harness.isolated(WELL, WELL).run(nothing)
    assert {(o.status, o.error.code) for o in harness.outcomes.values() if o.error} == {("retry", "quarantine_failed")}
    assert len(harness.outcomes) == 2


async def test_a_process_that_has_ended_leaves_no_pipe_open(harness: Harness) -> None:
    counts = []
    for _ in range(2):
        assert await harness.isolated(WELL).run(nothing)
        await harness.pool.close()
        await asyncio.sleep(0)  # the event loop closes what it was told to close
        counts.append(open_pipes())
    assert counts[0] == counts[1]


async def test_a_workload_of_a_file_is_found_there_too(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("BATCHYARD_WORKER_FILES", json.dumps([str(PLUGIN / "poison.py")]))
    assert await harness.isolated(WELL).run(nothing)
    assert harness.outcomes[0].status == "succeeded"


async def test_one_process_serves_chunk_after_chunk_and_ends_when_closed(harness: Harness) -> None:
    assert await harness.isolated(WELL).run(nothing)
    assert await harness.isolated(WELL).run(nothing)
    pids = set(await harness.begun(2))
    assert len(pids) == 1
    await harness.pool.close()
    assert not psutil.pid_exists(pids.pop())


class Napped:
    """A cache that knows the results of items by how long they work."""

    def __init__(self, *known: float) -> None:
        self.known = set(known)

    async def claim(
        self, _: CachePolicy, items: Sequence[tuple[Any, str]]
    ) -> tuple[int, list[result_cache.CachedResult | None]]:
        return 1, [result_cache.CachedResult({}) if payload["nap_s"] in self.known else None for payload, _ in items]

    async def release(self, _: CachePolicy, __: int, releases: Sequence[ClaimRelease]) -> None:
        self.known |= {one.payload["nap_s"] for one in releases if one.result}


async def test_known_results_answer_here_too_and_what_is_made_is_kept(harness: Harness) -> None:
    known = Napped(SLOW["nap_s"])
    harness.runner.cache = cast("ResultCache", known)
    harness.runner.manifest = harness.runner.manifest.model_copy(update={"cache_ttl_s": 60})
    assert await harness.isolated(SLOW, WELL, {"nap_s": 0.1, "ends": "exit"}).run(nothing)
    assert [(harness.outcomes[n].status, harness.outcomes[n].cached) for n in range(3)] == [
        ("succeeded", True),
        ("succeeded", False),
        ("failed", False),
    ]
    assert known.known == {SLOW["nap_s"], WELL["nap_s"]}


async def test_each_item_starts_at_the_moment_that_its_gate_gives(harness: Harness) -> None:
    harness.runner.rate_gates = RateGates("poison", cast("RateReservations", Away()))
    began = time.monotonic()
    assert await harness.isolated(*[WELL] * 5, per_second=10).run(nothing)
    assert time.monotonic() - began >= 0.39
    feedback = [report.feedback for report in harness.reports if report.feedback]
    assert sum(f.answered for f in feedback) == 5
    assert {outcome.status for outcome in harness.outcomes.values()} == {"succeeded"}


async def test_an_item_waiting_for_its_rate_is_stopped_at_once_without_a_start(harness: Harness) -> None:
    harness.runner.rate_gates = RateGates("poison", cast("RateReservations", Away()))
    isolated = harness.isolated(WELL, WELL, per_second=0.3)
    running = asyncio.create_task(isolated.run(nothing))
    await harness.begun(1)
    isolated.stop(cancelled=True)
    assert await running
    assert [harness.outcomes[n].status for n in range(2)][1] == "cancelled"
    assert len(await harness.begun(1)) == 1


async def test_an_item_that_may_not_start_for_long_waits_elsewhere(harness: Harness) -> None:
    harness.runner.rate_gates = RateGates("poison", cast("RateReservations", Away()))
    assert await harness.isolated(WELL, WELL, per_second=0.01).run(nothing)
    error = harness.outcomes[1].error
    assert error is not None
    assert (harness.outcomes[0].status, harness.outcomes[1].status, error.code) == ("succeeded", "retry", "held_back")
    assert len(await harness.begun(1)) == 1


async def test_an_item_that_must_not_run_twice_is_not_retried_after_its_process_died(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated_chunk, "_QUICK_CALL_S", PATIENCE_S)  # no call runs beside the one that ends it
    paid = sys.modules["poison"].paid
    harness.pool = SandboxPool("paid", 300)
    harness.runner = ItemRunner(paid, None, cast("Publisher", harness), cast("ResultCache", None), "w")
    assert await harness.isolated(WELL, {"nap_s": 0.0, "ends": "exit"}, WELL).run(nothing)
    ends = [(o.status, o.error.code if o.error else None) for _, o in sorted(harness.outcomes.items())]
    assert ends == [("succeeded", None), ("failed", "needs_review"), ("succeeded", None)]
    begun = [int(line.split()[1]) for line in harness.runs.read_text("ascii").splitlines()]
    assert sorted(begun) == [0, 1, 2]
