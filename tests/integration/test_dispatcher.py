"""The dispatcher process with real servers; the tests stand in for its workers."""

import itertools
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from batchyard_contracts import topology
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import BatchControlled, BatchWithdrawn, ItemOutcome, ItemsReopened
from batchyard_contracts.v1.values import Counts, ItemError
from batchyard_contracts.v1.work import ChunkReady
from devstack import Program, Servers, Supervisor, free_ports
from services.dispatcher.domain.rate_limiting.dispatch_rate import AHEAD_S
from shared.messaging.publisher import Publisher, outgoing
from tests.support.hand_worker import hand_worker

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _program(name: str, servers: Servers, port: int) -> Program:
    settings = {
        "BATCHYARD_LEASE_S": "1",
        "BATCHYARD_HEARTBEAT_S": "0.3",
        "BATCHYARD_WORKER_TIMEOUT_S": "3",
        "BATCHYARD_HEALTH_PORT": str(port),
    }
    command = (sys.executable, "-m", "services.dispatcher")
    return Program(name, command, {**servers.environment(), **settings}, f"http://127.0.0.1:{port}/readyz")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dispatchers(servers: Servers) -> AsyncIterator[Supervisor]:
    """Two of them: one active, one on standby."""
    with tempfile.TemporaryDirectory() as folder:
        supervisor = Supervisor(Path(folder), print)
        try:
            await supervisor.start(*(_program(f"dispatcher-{i}", servers, p) for i, p in enumerate(free_ports(2))))
            yield supervisor
        finally:
            await supervisor.stop()


@pytest.fixture
def amqp(servers: Servers, dispatchers: Supervisor) -> str:
    """Addresses of the dispatchers."""
    assert dispatchers
    return servers.amqp_url


async def test_no_item_is_dispatched_before_the_batch_header_arrives(amqp: str) -> None:
    async with hand_worker(amqp) as worker:
        first = await worker.pages({"": 3})
        second = await worker.pages({"": 2})
        await worker.accept(second, 2)
        assert {c.batch_id for c in await worker.take_items(2)} == {second}
        await worker.accept(first, 3)
        assert {c.batch_id for c in await worker.take_items(3)} == {first}


async def test_a_late_page_of_a_withdrawn_batch_does_not_run(amqp: str) -> None:
    async with hand_worker(amqp) as worker:
        gone = await worker.pages({"": 3})
        await worker.tell(BatchWithdrawn(batch_id=gone))
        kept = await worker.pages({"": 1})
        await worker.accept(kept, 1)
        await worker.take()
        await worker.pages({"": 3}, page=1, batch_id=gone)
        await worker.accept(gone, 6)
        marker = await worker.pages({"": 1})
        await worker.accept(marker, 1)
        assert (await worker.take()).batch_id == marker


async def test_redelivered_pages_and_headers_run_once(amqp: str) -> None:
    async with hand_worker(amqp) as worker:
        batch = await worker.pages({"": 4})
        await worker.pages({"": 4}, batch_id=batch)
        await worker.accept(batch, 4)
        await worker.accept(batch, 4)
        chunks = await worker.take_items(3)
        assert sorted(i.ordinal for c in chunks for i in c.items) == [0, 1, 2, 3]
        for chunk in chunks:
            await worker.report(chunk)
        marker = await worker.pages({"": 1})
        await worker.accept(marker, 1)
        assert (await worker.take()).batch_id == marker


async def test_items_in_flight_stay_within_the_window_of_the_workers(amqp: str) -> None:
    async with hand_worker(amqp, concurrency=2, chunk_max=1) as worker:
        batch = await worker.pages({"": 50})
        await worker.accept(batch, 50)
        out = await worker.take_items(4)
        with pytest.raises(TimeoutError):
            await worker.take(0.7)
        await worker.report(out[0])
        assert len((await worker.take()).items) == 1


async def test_a_chunk_that_no_worker_names_is_dispatched_again_and_fails_in_the_end(amqp: str) -> None:
    async with hand_worker(amqp, chunk_max=5) as worker:
        worker.forgetful = True
        batch = await worker.pages({"": 1})
        await worker.accept(batch, 1)
        chunks = [await worker.take() for _ in range(3)]
        assert [c.fence for c in chunks] == [1, 2, 3]
        assert len({c.chunk_id for c in chunks}) == 1
        settled = await worker.wait_settled(1)
        assert {(s.status, i.error.code) for s in settled for i in s.items if i.error} == {("failed", "worker_lost")}


async def test_a_late_report_changes_nothing(amqp: str) -> None:
    async with hand_worker(amqp, chunk_max=5, retry={"default": {"attempts": 2, "base_s": 0}}) as worker:
        worker.forgetful = True
        batch = await worker.pages({"": 1})
        await worker.accept(batch, 1)
        old = await worker.take()
        new = await worker.take()
        assert (old.chunk_id, old.fence + 1) == (new.chunk_id, new.fence)
        failed = [ItemOutcome(ordinal=0, status="retry", error=ItemError(code="boom"))]
        await worker.report(old, failed)
        await worker.report(new, failed)
        again = await worker.take()
        assert again.attempt == 2
        await worker.report(again, failed)
        (settled,) = await worker.wait_settled(1)
        assert settled.items[0].attempts == 2


async def test_items_missing_in_the_final_report_run_again(amqp: str) -> None:
    async with hand_worker(amqp, chunk_max=3, retry={"default": {"attempts": 3, "base_s": 0}}) as worker:
        batch = await worker.pages({"": 3})
        await worker.accept(batch, 3)
        chunk = await worker.take()
        await worker.report(chunk, [ItemOutcome(ordinal=1, status="succeeded", result={})])
        again = await worker.take()
        assert (again.attempt, sorted(i.ordinal for i in again.items)) == (2, [0, 2])


async def test_a_chunk_reported_in_parts_ends_with_the_final_part(amqp: str) -> None:
    async with hand_worker(amqp, chunk_max=3, retry={"default": {"attempts": 3, "base_s": 0}}) as worker:
        batch = await worker.pages({"": 3})
        await worker.accept(batch, 3)
        chunk = await worker.take()
        part = [ItemOutcome(ordinal=0, status="succeeded", result={})]
        await worker.report(chunk, part, final=False)
        await worker.report(chunk, part, final=False)  # told twice
        rest = [ItemOutcome(ordinal=o, status="succeeded", result={}) for o in (1, 2)]
        await worker.report(chunk, rest)
        marker = await worker.pages({"": 1})
        await worker.accept(marker, 1)
        assert (await worker.take()).batch_id == marker


async def test_a_continued_item_runs_again_with_its_state(amqp: str) -> None:
    async with hand_worker(amqp) as worker:
        batch = await worker.pages({"": 1})
        await worker.accept(batch, 1)
        state = None
        for poll in range(3):
            chunk = await worker.take()
            assert (chunk.items[0].state, chunk.attempt) == (state, 1)
            state = {"poll": poll}
            await worker.report(chunk, [ItemOutcome(ordinal=0, status="continued", state=state, delay_s=0.05)])
        assert (await worker.take()).items[0].payload == {"n": 0}


async def test_a_rate_spaces_one_partition_and_leaves_others_alone(amqp: str) -> None:
    async with hand_worker(amqp, rates={"slow": {"per_second": 5, "burst": 1}}) as worker:
        batch = await worker.pages({"slow": 12, "free": 20})
        await worker.accept(batch, 32)
        while sum(len(c.items) for _, c in worker.taken if c.partition == "slow") < 12:
            await worker.report(await worker.take())
        slow = [(t, c) for t, c in worker.taken if c.partition == "slow"]
        first = slow[0][0]
        given = itertools.accumulate(len(c.items) for _, c in slow)
        assert all(n <= 1 + (t - first + AHEAD_S) * 5 for (t, _), n in zip(slow, given, strict=True))
        assert all(c.rates and [key.key for key in c.rates.keys] == ["partition:slow"] for _, c in slow)
        free = [(t, c) for t, c in worker.taken if c.partition == "free"]
        assert sum(len(c.items) for t, c in free if t < slow[-1][0]) == 20
        assert all(c.rates is None for _, c in free)


async def test_a_destination_gets_the_pause_that_it_asks_for(amqp: str) -> None:
    async with hand_worker(amqp, chunk_max=1) as worker:
        batch = await worker.pages({"busy": 2, "free": 1})
        await worker.accept(batch, 3)
        chunks = {c.partition: c for c in await worker.take_items(3)}
        limited = ItemError(code="rate_limited", scope="provider")
        asked = time.monotonic()
        for chunk in [c for _, c in worker.taken if c.partition == "busy"]:
            outcome = ItemOutcome(ordinal=chunk.items[0].ordinal, status="retry", error=limited, delay_s=1.0)
            await worker.report(chunk, [outcome])
        await worker.report(chunks["free"])
        again = await worker.take()
        assert again.attempt == 1
        assert time.monotonic() - asked >= 0.9


async def test_cancel_settles_waiting_items_at_once_and_items_in_flight_when_they_return(amqp: str) -> None:
    async with hand_worker(amqp, concurrency=1, chunk_max=1) as worker:
        batch = await worker.pages({"": 50})
        await worker.accept(batch, 50)
        out = await worker.take_items(3)
        command = BatchControlled(batch_id=batch, owner="default", action="cancel", at=datetime.now(UTC))
        await worker.tell(command)
        await worker.wait_settled(47)
        failed = [ItemOutcome(ordinal=out[0].items[0].ordinal, status="retry", error=ItemError(code="boom"))]
        await worker.report(out[0], failed)
        settled = await worker.wait_settled(48)
        assert {s.status for s in settled} == {"cancelled"}


async def test_a_new_round_runs_the_named_items_from_their_first_attempt(amqp: str) -> None:
    async with hand_worker(amqp) as worker:
        batch = await worker.pages({"a": 3, "b": 3})
        await worker.accept(batch, 6)
        for chunk in await worker.take_items(6):
            await worker.report(chunk)
        finished = BatchFinished(
            batch_id=batch,
            workload=worker.manifest.name,
            owner="default",
            round=1,
            result="partial",
            counts=Counts(total=6),
            accepted_at=datetime.now(UTC),
            finished_at=datetime.now(UTC),
        )
        publisher = await Publisher.open(amqp, "test")
        await publisher.publish([outgoing(topology.EVENTS, finished)])
        await publisher.close()
        await worker.tell(ItemsReopened(batch_id=batch, round=2, ordinals=[1, 4, 999]))
        chunks = await worker.take_items(2)
        assert {(c.partition, i.ordinal) for c in chunks for i in c.items} == {("a", 1), ("b", 4)}
        assert {(c.round, c.attempt) for c in chunks} == {(2, 1)}
        (gone,) = await worker.wait_settled(1)
        assert (gone.round, gone.items[0].ordinal, gone.status) == (2, 999, "failed")


async def test_another_process_takes_over_when_the_active_dispatcher_is_killed(
    amqp: str, dispatchers: Supervisor, record_property: Callable[[str, object], None]
) -> None:
    """Nothing is lost, nothing runs twice, and what is urgent still goes first.

    The one on standby takes over, or the one that is started in place of the killed one, whichever is first.
    """
    async with hand_worker(amqp, concurrency=5, chunk_max=1) as worker:
        batch = await worker.pages({"": 200})
        await worker.accept(batch, 200)
        seen: Counter[int] = Counter()
        for _ in range(60):
            chunk = await worker.take()
            seen[chunk.items[0].ordinal] += 1
            await worker.report(chunk)
        epoch, active = _active(dispatchers)
        dispatchers.kill(active, signal.SIGKILL)
        killed = time.monotonic()
        urgent = await worker.pages({"": 5})  # while nobody is active
        await worker.accept(urgent, 5, priority="immediate")
        order: list[ChunkReady] = []
        while sum(seen.values()) + sum(c.batch_id == urgent for c in order) < 205:
            chunk = await worker.take()
            order.append(chunk)
            if chunk.batch_id == batch:
                seen[chunk.items[0].ordinal] += 1
            await worker.report(chunk)
        given = next(at for at, c in worker.taken if c.batch_id == urgent)
        record_property("takeover_s", round(given - killed, 2))
        assert _active(dispatchers)[0] == epoch + 1
        assert seen == Counter(range(200))
        before = [c.batch_id for c in order].index(urgent)
        assert before <= 25  # what was out when the first died, and at most a window of the second before it heard
        assert worker.idle, "something came twice"
        await dispatchers.ready(active)


def _active(dispatchers: Supervisor) -> tuple[int, str]:
    """Return the latest epoch and the dispatcher that began it."""
    found: dict[int, str] = {}
    for name in ("dispatcher-0", "dispatcher-1"):
        log = dispatchers.log(name).read_text("utf-8")
        found |= {int(number): name for number in re.findall(r'"epoch": ?(\d+)', log)}
    return max(found.items())
