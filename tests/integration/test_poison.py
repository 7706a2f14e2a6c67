"""Items that end their worker: they are found, their neighbours succeed, and little is done twice. What must not be
done twice never is."""

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
import pytest_asyncio

from batchyard_contracts.v1.events import BatchFinished
from devstack import Servers
from tests.support.cluster import Cluster, running_cluster
from tests.support.patience import until_true

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.faults]
PLUGIN = Path(__file__).parents[1] / "support" / "poison"
TOTAL = 1000
CONCURRENCY = 4
WELL: dict[str, Any] = {}


class Runs:
    """The runs, as their side effects tell them."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def of(self, batch_id: UUID) -> list[tuple[int, int, int]]:
        """Return the runs of a batch as (ordinal, process, its parent), in the order in which they began."""
        lines = [line.split() for line in self._file.read_text("ascii").splitlines()] if self._file.exists() else []
        return [(int(o), int(pid), int(parent)) for batch, o, pid, parent, _ in lines if batch == str(batch_id)]

    def steps(self, batch_id: UUID) -> Counter[tuple[int, int]]:
        """Count the starts of each step (ordinal, polls before) of a batch."""
        lines = [line.split() for line in self._file.read_text("ascii").splitlines()] if self._file.exists() else []
        return Counter((int(line[1]), int(line[4])) for line in lines if line[0] == str(batch_id))

    def repeated(self, batch_id: UUID, guilty: set[int]) -> int:
        """Count the runs of innocent items that were not their first."""
        runs = Counter(ordinal for ordinal, _, _ in self.of(batch_id))
        return sum(count - 1 for ordinal, count in runs.items() if ordinal not in guilty)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Cluster, Runs]]:
    """A cluster whose workers have the workload `poison`."""
    runs = tmp_path_factory.mktemp("poison") / "runs"
    environment = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH")])),
        "POISON_RUNS": str(runs),
        "BATCHYARD_QUARANTINE_MEMORY_MB": "300",
        "BATCHYARD_WORKER_WORKLOADS": '["noop", "poison", "paid"]',
    }
    async with running_cluster(servers, environment) as running:
        yield running, Runs(runs)


async def submitted(cluster: Cluster, items: list[dict[str, Any]]) -> UUID:
    return (await cluster.client.submit("poison", items)).batch_id


async def ended(cluster: Cluster, batch_id: UUID, total: int, guilty: set[int]) -> dict[int, Any]:
    """Wait for the end: only the guilty have failed. Their errors."""
    finished: BatchFinished = await cluster.client.wait(batch_id, 120)
    await cluster.check_ledger(batch_id, total)
    assert (finished.counts.succeeded, finished.counts.failed) == (total - len(guilty), len(guilty))
    failed = {item.ordinal: item.error async for item in cluster.client.results(batch_id, status="failed")}
    assert set(failed) == guilty
    return failed


def deaths(cluster: Cluster, batch_id: UUID) -> int:
    """Count the processes of the quarantine that died over a batch."""
    logs = [line for file in cluster.folder.rglob("worker*.log") for line in file.read_text("utf-8").splitlines()]
    return sum("quarantined process died" in line and str(batch_id) in line for line in logs)


@pytest.mark.parametrize(
    ("ends", "how", "repeated"),
    [
        ("exit", "exit code 3", 0.02),
        ("segfault", "killed by SIGSEGV", 0.02),
        # While it eats, it holds up what its worker would report of its neighbours.
        ("eat", "it took more than 300 MB of memory, the limit in quarantine", 0.05),
    ],
)
async def test_one_in_a_thousand_is_found_in_few_steps(
    cluster: tuple[Cluster, Runs], ends: str, how: str, repeated: float
) -> None:
    running, runs = cluster
    items = [WELL] * TOTAL
    items[400] = {"ends": ends}
    again: list[int] = []
    while len(again) < 3 and min(again, default=TOTAL) > TOTAL * repeated:
        # Once more where a busy machine held up the reports of the worker that died.
        batch_id = await submitted(running, items)
        failed = await ended(running, batch_id, TOTAL, {400})
        assert failed[400].code == "worker_lost"
        assert how in failed[400].message
        assert deaths(running, batch_id) <= 10
        again.append(runs.repeated(batch_id, {400}))
    assert min(again) <= TOTAL * repeated, again


async def test_each_of_several_is_found(cluster: tuple[Cluster, Runs]) -> None:
    running, _ = cluster
    guilty = {3, 120, 121, 270, 399}
    batch_id = await submitted(running, [{"ends": "exit"} if n in guilty else WELL for n in range(400)])
    failed = await ended(running, batch_id, 400, guilty)
    assert {error.code for error in failed.values()} == {"worker_lost"}


async def test_a_worker_that_is_killed_while_it_runs_a_quarantined_chunk_condemns_nobody(
    cluster: tuple[Cluster, Runs],
) -> None:
    running, runs = cluster
    items: list[dict[str, Any]] = [{"nap_s": 1.5}] * 30
    items[5] = {"nap_s": 0.5, "ends": "exit"}
    batch_id = await submitted(running, items)
    cells = await until_true(lambda: _cells(running, runs.of(batch_id)))
    cell, worker = cells.popitem()
    os.kill(worker, signal.SIGKILL)
    await until_true(lambda: _has_ended(cell))
    failed = await ended(running, batch_id, 30, {5})
    assert failed[5].code == "worker_lost"


async def test_no_paid_call_is_made_again_and_no_answer_asked_for_too_early_when_worker_and_dispatcher_are_killed(
    cluster: tuple[Cluster, Runs],
) -> None:
    running, runs = cluster
    total, polls = 40, 3
    receipt = await running.client.submit("paid", [{"nap_s": 0.25, "polls": polls}] * total)
    batch_id = receipt.batch_id

    async def begun(steps: int) -> None:
        await until_true(lambda: runs.steps(batch_id).total() >= steps)

    await begun(12)
    running.supervisor.kill("worker-1", signal.SIGKILL)
    await begun(60)
    running.supervisor.kill("dispatcher", signal.SIGKILL)
    await begun(90)
    running.supervisor.kill("worker-2", signal.SIGKILL)
    finished: BatchFinished = await running.client.wait(batch_id, 120)
    await running.check_ledger(batch_id, total)
    failed = {item.ordinal: item.error async for item in running.client.results(batch_id, status="failed")}
    assert {error.code for error in failed.values() if error} <= {"needs_review"}, "none if no call ran at a kill"
    assert len(failed) <= 2 * CONCURRENCY
    assert finished.counts.succeeded == total - len(failed)
    steps = runs.steps(batch_id)
    assert max(steps[ordinal, 0] for ordinal in range(total)) == 1
    never = {ordinal for ordinal in range(total) if not steps[ordinal, 0]}
    assert never <= set(failed), "what was put on record and had no time to begin may have begun, for all that is known"
    asked = {(ordinal, poll) for ordinal in range(total) for poll in range(1, polls + 1) if ordinal not in failed}
    assert {step for step in steps if step[1]} == asked
    assert sum(steps[step] - 1 for step in asked) <= 2 * CONCURRENCY


def _has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def _cells(cluster: Cluster, runs: list[tuple[int, int, int]]) -> dict[int, int]:
    """Processes of the quarantine that live, each with its worker."""
    workers = {cluster.supervisor.pid(name) for name in ("worker-1", "worker-2")}
    return {pid: parent for _, pid, parent in runs if parent in workers and psutil.pid_exists(pid)}
