"""Chunks in flight: no item is lost or blamed whatever part of a report fails, comes twice, or never comes."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from unittest.mock import AsyncMock

import pytest

from batchyard_contracts.v1.flow import (
    ChunkProcessed,
    ChunkReturned,
    ItemOutcome,
    ItemsPage,
    PageItem,
    Segment,
    WorkerHeartbeat,
)
from batchyard_contracts.v1.queries import BeginQuery
from batchyard_contracts.v1.work import ChunkReady
from devstack import Servers
from services.dispatcher.dispatching.chunk_publisher import Giver
from services.dispatcher.persistence.page_cache import Pages
from services.dispatcher.recovery.orphaned_chunks import Inherited
from services.dispatcher.recovery.worker_registry import Workers
from services.dispatcher.settings import DispatcherSettings
from shared.messaging.batch_consumer import Received
from shared.messaging.publisher import Outgoing
from shared.runtime.errors import PublishFailed
from shared.runtime.transient import retry_transient
from tests.support.dispatcher_parts import ENVELOPE, Parts, again, dispatcher_parts, once, received


class Yard:
    """A dispatcher whose chunks a test takes, reports, and loses."""

    def __init__(self, make: Callable[[], Parts]) -> None:
        self._make = make
        self.isolates = True
        self.restart()

    def restart(self) -> None:
        """Start over from the tables."""
        self.parts = self._make()
        self.parts.employ("w", chunk_max=100)
        parts = self.parts
        self.inherited = Inherited(parts.yard, DispatcherSettings().lease_s)
        self.workers = Workers(parts.yard, parts.store, parts.losses, self.inherited, DispatcherSettings())
        self._taken = 0
        self.beat()

    async def load(self) -> None:
        """Read what the tables hold."""
        await self.parts.intake.load()
        now = time.monotonic()
        leases = await self.parts.store.leases(now)
        for lease in leases:
            self.parts.yard.resume(lease)
        self.inherited.take(leases, now)

    def beat(self, *chunks: ChunkReady) -> None:
        """The worker lives and holds these."""
        held = [c.chunk_id for c in chunks]
        now = datetime.now(UTC)
        beat = WorkerHeartbeat(worker_id="hand", workloads=["w"], chunks=held, isolates=self.isolates, at=now)
        self.parts.yard.heard_of(beat, time.monotonic())

    async def take(self) -> ChunkReady:
        """The next chunk that goes out."""
        async with self.parts.pumping():
            await self.parts.until(lambda: len(self.parts.outbox.chunks) > self._taken)
        self._taken += 1
        return self.parts.outbox.chunks[self._taken - 1]

    @property
    def idle(self) -> bool:
        """Whether all that went out was taken."""
        return len(self.parts.outbox.chunks) == self._taken

    async def report(self, chunk: ChunkReady, outcomes: Sequence[ItemOutcome], **fields: Any) -> None:
        """As a worker reports."""
        same = chunk.model_dump(exclude={"items", "priority"})
        message = ChunkProcessed.model_validate(same | {"worker_id": "hand", "outcomes": list(outcomes)} | fields)
        await retry_transient(lambda: self.parts.outcomes.processed([received(message)]), "report")
        await self.parts.stops.drain()

    async def give_back(self, chunk: ChunkReady, reason: Literal["redelivered", "stopping"] = "redelivered") -> None:
        """As a worker returns a chunk."""
        same = chunk.model_dump(include={"chunk_id", "fence", "batch_id", "workload"})
        message = ChunkReturned.model_validate(same | {"worker_id": "other", "reason": reason})
        await retry_transient(lambda: self.parts.losses.returned([Received(message, ENVELOPE)]), "returned")

    async def lose(self, waiting: int = 0) -> None:
        """No worker names any chunk for a long time; so many messages wait in each queue."""
        for lease in self.parts.yard.leases.values():
            lease.seen_at -= 100

        async def depth(_: str) -> int:
            return waiting

        self.beat()
        await self.workers.sweep(depth)

    async def retries(self) -> list[tuple[int, int]]:
        """Which items are to run again, in which attempt."""
        rows = await self.parts.pool.fetch("SELECT ordinal, attempt FROM retries ORDER BY ordinal")
        return [(r["ordinal"], r["attempt"]) for r in rows]


@pytest.fixture
async def yard(clean: Servers) -> AsyncIterator[Yard]:
    """A dispatcher with empty tables."""
    async with dispatcher_parts(clean) as make:
        await make().pool.execute("TRUNCATE batches, steering, terms, withdrawn, pages, leases, retries, workloads")
        yield Yard(make)


def done(*ordinals: int) -> list[ItemOutcome]:
    return [ItemOutcome(ordinal=o, status="succeeded", result={}) for o in ordinals]


def ordinals(chunk: ChunkReady) -> list[int]:
    return [item.ordinal for item in chunk.items]


async def retried_chunk(yard: Yard) -> ChunkReady:
    """A chunk of three items that run for the second time."""
    await yard.parts.begin({"": 3})
    await yard.report(await yard.take(), [again(0), again(1), again(2)])
    return await yard.take()


async def test_a_chunk_of_retried_items_may_be_reported_in_parts(yard: Yard) -> None:
    chunk = await retried_chunk(yard)
    await yard.report(chunk, done(0), final=False)
    await yard.report(chunk, [*done(1), again(2)])
    assert ordinals(await yard.take()) == [2]
    assert [o for o, _ in await yard.retries()] == [2]


async def test_what_a_part_reported_does_not_go_out_again_when_the_rest_is_lost(yard: Yard) -> None:
    chunk = await retried_chunk(yard)
    await yard.report(chunk, done(0), final=False)
    await yard.lose()
    assert ordinals(await yard.take()) == [1, 2]


async def test_a_lost_chunk_of_which_nothing_is_left_ends(yard: Yard) -> None:
    chunk = await retried_chunk(yard)
    await yard.report(chunk, done(0, 1, 2), final=False)
    await yard.lose()
    assert (yard.idle, yard.parts.yard.leases, await yard.parts.count("leases")) == (True, {}, 0)
    assert yard.parts.yard.line("w").window.out == 0


async def test_a_chunk_of_a_batch_that_has_ended_does_not_go_out_again(yard: Yard) -> None:
    batch_id = await yard.parts.begin({"": 3})
    await yard.take()
    yard.parts.yard.leave(batch_id)
    await yard.lose()
    assert yard.idle
    assert (await yard.parts.count("leases"), yard.parts.yard.line("w").window.out) == (0, 0)


@pytest.mark.parametrize("saved", [False, True])
async def test_a_report_whose_save_was_cut_off_is_taken_again_in_whole(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    await yard.parts.begin({"": 2})
    chunk = await yard.take()
    monkeypatch.setattr(yard.parts.store, "report", once(yard.parts.store.report, first=saved))
    await yard.report(chunk, [again(0)], final=False, busy_ms=500)
    await yard.report(chunk, done(1), busy_ms=500)
    assert [o for o, _ in await yard.retries()] == [0]
    size = yard.parts.yard.line("w").window.sizes[chunk.batch_id][""]
    assert size.item_s == pytest.approx(0.5)


async def test_a_restart_between_two_parts_does_not_forget_the_first(yard: Yard) -> None:
    await yard.parts.begin({"": 3})
    chunk = await yard.take()
    await yard.report(chunk, done(0, 1), final=False)
    yard.restart()
    await yard.load()
    await yard.report(chunk, done(2))
    assert (await yard.retries(), yard.parts.yard.leases) == ([], {})


async def test_a_cancel_while_a_retry_is_saved_settles_it(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = await yard.parts.begin({"": 1})
    chunk = await yard.take()
    report, entered, cancelled = yard.parts.store.report, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> None:
        entered.set()
        await cancelled.wait()
        await report(*arguments)

    monkeypatch.setattr(yard.parts.store, "report", slow)
    reporting = asyncio.create_task(yard.report(chunk, [again(0)]))
    await entered.wait()
    await yard.parts.steer(batch, "cancel")
    cancelled.set()
    await reporting
    assert yard.parts.outbox.settled == [("cancelled", 0, None)]
    assert await yard.retries() == []


@pytest.mark.parametrize("other", [0, 77])
async def test_an_ordinal_that_is_foreign_or_told_twice_hides_no_missing_item(yard: Yard, other: int) -> None:
    await yard.parts.begin({"": 2})
    await yard.report(await yard.take(), done(0, other))
    assert [o for o, _ in await yard.retries()] == [1]
    assert yard.parts.yard.leases == {}


async def test_a_returned_chunk_is_quarantined_at_once_without_what_was_reported(yard: Yard) -> None:
    await yard.parts.begin({"": 4})
    chunk = await yard.take()
    await yard.report(chunk, done(0, 1), final=False)
    await yard.give_back(chunk)
    again = await yard.take()
    assert (again.chunk_id, again.fence, again.quarantined, ordinals(again)) == (chunk.chunk_id, 2, True, [2, 3])
    assert again.routing_key() == "work.w.quarantine"
    await yard.give_back(chunk)
    assert yard.idle, "the earlier one is late"
    await yard.report(again, done(2, 3))
    assert (yard.parts.yard.leases, yard.parts.yard.line("w").window.out) == ({}, 0)


async def test_a_chunk_of_a_worker_that_stops_goes_out_as_it_was(yard: Yard) -> None:
    await yard.parts.begin({"": 4})
    chunk = await yard.take()
    for fence in range(2, 9):
        await yard.give_back(chunk, "stopping")
        chunk = await yard.take()
        assert (chunk.fence, chunk.quarantined, ordinals(chunk)) == (fence, False, [0, 1, 2, 3])
    await yard.give_back(chunk)
    await yard.give_back(await yard.take(), "stopping")
    assert (await yard.take()).quarantined
    assert [x.losses for x in yard.parts.yard.leases.values()] == [1]


async def test_nothing_is_blamed_while_a_worker_names_it(yard: Yard) -> None:
    """The connection of a worker that lives may be cut as often as it likes."""
    await yard.parts.begin({"": 1})
    chunk = await yard.take()
    for _ in range(2):
        await yard.give_back(chunk)
        chunk = await yard.take()
    await yard.give_back(chunk)
    assert yard.idle
    await yard.report(chunk, done(0))
    assert (yard.parts.outbox.settled, yard.parts.yard.leases) == ([], {})


@pytest.mark.parametrize("isolates", [True, False])
async def test_an_item_that_kills_its_workers_fails_and_its_neighbours_succeed(yard: Yard, isolates: bool) -> None:
    yard.isolates = isolates
    yard.beat()
    await yard.parts.begin({"": 20})
    ran: list[int] = []
    losses = 0
    while not losses or yard.parts.yard.leases:
        chunk = await yard.take()
        assert chunk.quarantined == (isolates and (chunk.fence > 1 or losses >= 3))
        if 7 in ordinals(chunk):
            losses += 1
        else:
            ran += ordinals(chunk)
            await yard.report(chunk, done(*ordinals(chunk)))
        if yard.idle:
            await yard.lose()
    assert sorted(ran) == [o for o in range(20) if o != 7]
    assert yard.parts.outbox.settled == [("failed", 7, "worker_lost")]
    assert losses <= 3 + 5 + 1
    assert yard.parts.yard.line("w").window.out == 0
    assert await yard.retries() == []


async def test_halves_outlive_a_restart(yard: Yard) -> None:
    await yard.parts.begin({"": 4})
    for _ in range(3):
        chunk = await yard.take()
        await yard.report(chunk, done(0), final=False)
        await yard.lose()
    parts = [await yard.take(), await yard.take()]
    assert [ordinals(part) for part in parts] == [[1], [2, 3]]
    yard.restart()
    await yard.load()
    assert (len(yard.parts.yard.leases), yard.parts.yard.line("w").window.out) == (2, 4)
    assert all(x.quarantined for x in yard.parts.yard.leases.values())
    for part in parts:
        await yard.report(part, done(*ordinals(part)))
    assert (yard.parts.yard.leases, yard.parts.yard.line("w").window.out) == ({}, 0)


async def test_what_was_lost_waits_out_a_pause_and_ends_with_a_cancel(yard: Yard) -> None:
    batch = await yard.parts.begin({"": 2})
    chunk = await yard.take()
    await yard.parts.steer(batch, "pause")
    await yard.give_back(chunk)
    await yard.lose()
    assert yard.idle
    await yard.parts.steer(batch, "resume")
    await yard.lose()
    chunk = await yard.take()
    await yard.parts.steer(batch, "cancel")
    await yard.give_back(chunk)
    assert sorted(yard.parts.outbox.settled) == [("cancelled", 0, None), ("cancelled", 1, None)]
    assert yard.parts.yard.leases == {}


async def test_quarantine_that_nobody_takes_any_more_is_left(yard: Yard) -> None:
    await yard.parts.begin({"": 2})
    await yard.give_back(await yard.take())
    assert (await yard.take()).quarantined
    yard.isolates = False
    await yard.lose(waiting=1)
    assert not (await yard.take()).quarantined


@pytest.mark.parametrize("saved", [False, True])
async def test_a_loss_whose_save_was_cut_off_counts_once(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    await yard.parts.begin({"": 2})
    chunk = await yard.take()
    monkeypatch.setattr(yard.parts.store, "regive", once(yard.parts.store.regive, first=saved))
    await yard.give_back(chunk)
    again = await yard.take()
    rows = await yard.parts.pool.fetch("SELECT fence, losses FROM leases")
    assert ([tuple(row) for row in rows], again.fence) == ([(2, 1)], 2)


async def test_a_lost_chunk_goes_out_again_though_its_queue_is_never_empty(yard: Yard) -> None:
    first = await yard.parts.begin({"": 1})
    lost = await yard.take()
    await yard.parts.begin({"": 1})
    later = await yard.take()
    assert lost.batch_id == first
    await yard.lose(waiting=5)
    assert yard.idle, "it may still wait"
    yard.parts.yard.leases[lost.chunk_id].given_at -= 100
    yard.beat(later)
    await yard.lose(waiting=5)
    found = await yard.take()
    assert (found.chunk_id, found.fence) == (lost.chunk_id, 2)
    await yard.lose(waiting=5)
    assert yard.idle, "it went in after the one that was named"


async def test_whole_numbers_keep_all_their_digits(yard: Yard) -> None:
    batch, huge = uuid.uuid4(), 2**80 + 1
    items = [PageItem(ordinal=0, payload={"n": huge}, custom_id="x")]
    page = ItemsPage(batch_id=batch, workload="w", page=0, segments=[Segment(partition="", items=items)])
    await yard.parts.intake.pages([received(page)])
    await yard.parts.accept(batch)
    chunk = await yard.take()
    assert chunk.items[0].payload == {"n": huge}
    await yard.report(chunk, [ItemOutcome(ordinal=0, status="continued", state={"poll": huge}, delay_s=0.0)])
    (item,) = (await yard.take()).items
    assert (item.payload, item.state, item.custom_id) == ({"n": huge}, {"poll": huge}, "x")


async def test_who_waits_for_the_broker_says_so(yard: Yard) -> None:
    beats, refusals = 0, 2

    def beat() -> None:
        nonlocal beats
        beats += 1

    def refuse(_: Sequence[Outgoing]) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise PublishFailed("away")

    await yard.parts.begin({"": 1})
    await yard.take()
    parts = yard.parts
    giver = Giver(parts.yard, parts.store, parts.outbox, Pages(parts.store), waiting=beat)  # type: ignore[arg-type]
    parts.outbox.refuse = refuse
    await giver.publish(list(parts.yard.leases.values()))
    assert beats == 2


async def begin(yard: Yard, chunk: ChunkReady, *ordinals: int, worker_id: str = "hand") -> bool:
    """A worker asks whether it may begin items that must not run twice."""
    asked = BeginQuery(chunk_id=chunk.chunk_id, fence=chunk.fence, worker_id=worker_id, ordinals=list(ordinals))
    return (await yard.parts.beginnings.query(asked, ENVELOPE)).granted


REVIEW = ("failed", 1, "needs_review")


@pytest.mark.parametrize("retried", [False, True])
@pytest.mark.parametrize("restart", [False, True])
async def test_what_must_not_run_twice_is_not_given_out_again_when_its_worker_is_lost(
    yard: Yard, retried: bool, restart: bool
) -> None:
    if retried:
        chunk = await retried_chunk(yard)
    else:
        await yard.parts.begin({"": 3})
        chunk = await yard.take()
    assert await begin(yard, chunk, 0)
    assert await begin(yard, chunk, 0, 1), "a question whose answer was lost is asked again"
    await yard.report(chunk, done(0), final=False)
    if restart:
        yard.restart()
        await yard.load()
        yard.beat(chunk)
        assert await yard.inherited.nowhere(AsyncMock(return_value=0)) == []
    await yard.lose()
    assert yard.parts.outbox.settled == [REVIEW]
    assert ordinals(await yard.take()) == [2]
    assert [o for o, _ in await yard.retries()] == ([2] if retried else [])
    assert not await begin(yard, chunk, 2), "the worker was but silent: it begins nothing more"


async def test_when_all_that_is_left_had_begun_the_chunk_ends(yard: Yard) -> None:
    await yard.parts.begin({"": 2})
    chunk = await yard.take()
    await begin(yard, chunk, 0, 1)
    await yard.report(chunk, done(0), final=False)
    await yard.lose()
    assert yard.parts.outbox.settled == [REVIEW]
    assert (yard.idle, yard.parts.yard.leases, await yard.parts.count("leases")) == (True, {}, 0)


async def test_a_chunk_that_comes_back_while_its_worker_may_still_be_at_a_call_stays_with_it(yard: Yard) -> None:
    await yard.parts.begin({"": 3})
    chunk = await yard.take()
    await begin(yard, chunk, 1)
    await yard.give_back(chunk)
    assert (yard.idle, yard.parts.outbox.settled) == (True, [])
    assert await begin(yard, chunk, 2)
    await yard.report(chunk, done(0, 1, 2))
    assert (yard.parts.outbox.settled, yard.parts.yard.leases) == ([], {})


async def test_one_worker_alone_begins_what_must_not_run_twice(yard: Yard) -> None:
    await yard.parts.begin({"": 3})
    chunk = await yard.take()
    assert await begin(yard, chunk, 1)
    assert not await begin(yard, chunk, 2, worker_id="other")
    assert not await begin(yard, chunk.model_copy(update={"chunk_id": uuid.uuid4()}), 2)
    await yard.give_back(chunk, "stopping")
    assert yard.parts.outbox.settled == [REVIEW]
    given = await yard.take()
    assert ordinals(given) == [0, 2]
    assert not await begin(yard, chunk, 0)
    assert await begin(yard, given, 0, worker_id="other")


async def test_nothing_begins_of_a_chunk_while_it_is_given_out_again(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    await yard.parts.begin({"": 1})
    chunk = await yard.take()
    regive, entered, go = yard.parts.store.regive, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> None:
        entered.set()
        await go.wait()
        await regive(*arguments)

    monkeypatch.setattr(yard.parts.store, "regive", slow)
    losing = asyncio.create_task(yard.lose())
    await entered.wait()
    asking = asyncio.create_task(begin(yard, chunk, 0))
    go.set()
    assert not await asking
    await losing
    assert ordinals(await yard.take()) == [0]


async def test_what_asks_to_run_again_in_quarantine_stays_there_until_it_has_gone_on(yard: Yard) -> None:
    await yard.parts.begin({"": 3})
    chunk = await yard.take()
    await yard.give_back(chunk)
    lost = await yard.take()
    assert lost.quarantined
    goes_on = ItemOutcome(ordinal=2, status="continued", state=1, delay_s=0.0)
    await yard.report(lost, [*done(0), again(1), goes_on])
    first, second = await yard.take(), await yard.take()
    assert {(*ordinals(c), c.quarantined) for c in (first, second)} == {(1, True), (2, False)}
    rows = await yard.parts.pool.fetch("SELECT quarantined FROM leases ORDER BY quarantined")
    assert [row["quarantined"] for row in rows] == [False, True]
    yard.restart()
    await yard.load()
    assert sorted(lease.quarantined for lease in yard.parts.yard.leases.values()) == [False, True]
    stays = first if first.quarantined else second
    yard.isolates = False  # who takes quarantined chunks is gone meanwhile
    yard.beat()
    await yard.report(stays, [again(1)])
    assert not (await yard.take()).quarantined
