"""Chunks in flight: no item is lost or failed by mistake if a report fails, is redelivered, or never arrives."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, cast
from unittest.mock import AsyncMock

import asyncpg
import pytest

from batchyard_contracts.v1.flow import (
    BatchRemedied,
    ChunkReturned,
    ItemOutcome,
    ItemsPage,
    PageItem,
    Segment,
    WorkerHeartbeat,
)
from batchyard_contracts.v1.queries import StartPermitQuery
from batchyard_contracts.v1.work import ChunkReady
from devstack import Servers
from services.dispatcher.dispatching.chunk_publisher import ChunkPublisher, ChunksRefused
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.retry_policy import Retry
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.settlement.chunk_settler import ChunkSettler
from shared.messaging.batch_consumer import DecodedMessage
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.runtime.errors import MessageRejected, PublishFailed
from shared.runtime.transient import retry_transient
from tests.support.dispatcher_parts import ENVELOPE, Parts, again, dispatcher_parts, once, received, report_on


async def _now() -> float:
    """Return the time before which all reports are read."""
    return time.monotonic()


class ManualDispatcher:
    """A dispatcher whose chunks a test takes, reports, and loses."""

    def __init__(self, make: Callable[[], Parts]) -> None:
        self._make = make
        self.isolates = True
        self.restart()

    def restart(self) -> None:
        """Start over from the tables."""
        self.parts = self._make()
        self.parts.add_workload("w", chunk_max=100)
        self._taken = 0
        self.beat()

    async def load(self) -> None:
        """Load the state from the tables."""
        await self.parts.components.load(lambda: None)

    def beat(self, *chunks: ChunkReady) -> None:
        """Deliver a heartbeat that names these chunks."""
        held = [c.chunk_id for c in chunks]
        now = datetime.now(UTC)
        beat = WorkerHeartbeat(worker_id="hand", workloads=["w"], chunks=held, handles_quarantine=self.isolates, at=now)
        self.parts.state.record_heartbeat(beat, time.monotonic())

    async def take(self) -> ChunkReady:
        """Return the next chunk that is sent."""
        async with self.parts.dispatching():
            await self.parts.until(lambda: len(self.parts.outbox.chunks) > self._taken)
        self._taken += 1
        return self.parts.outbox.chunks[self._taken - 1]

    @property
    def idle(self) -> bool:
        """True if every chunk that was sent has been taken."""
        return len(self.parts.outbox.chunks) == self._taken

    async def report(self, chunk: ChunkReady, outcomes: Sequence[ItemOutcome], **fields: Any) -> None:
        """Deliver a worker's report."""
        message = report_on(chunk, outcomes, **fields)
        await retry_transient(lambda: self.parts.report_handler.on_chunks_processed([received(message)]), "report")
        await self.parts.batch_stopper.drain()

    async def give_back(self, chunk: ChunkReady, reason: Literal["redelivered", "stopping"] = "redelivered") -> None:
        """Return a chunk, as a worker does."""
        same = chunk.model_dump(include={"chunk_id", "fence", "batch_id", "workload"})
        message = ChunkReturned.model_validate(same | {"worker_id": "other", "reason": reason})
        await retry_transient(
            lambda: self.parts.recovery.on_chunks_returned([DecodedMessage(message, ENVELOPE)]), "returned"
        )

    async def lose(self, waiting: int = 0) -> None:
        """Let no worker name a chunk for a long time; `waiting` messages are in each queue."""
        for lease in self.parts.state.leases.values():
            lease.seen_at -= 100

        async def depth(_: str) -> int:
            return waiting

        self.beat()
        await self.parts.components.worker_registry.sweep(depth, _now)

    async def retries(self) -> list[tuple[int, int]]:
        """Return the retries: (ordinal, attempt)."""
        rows = await self.parts.pool.fetch("SELECT ordinal, attempt FROM retries ORDER BY ordinal")
        return [(r["ordinal"], r["attempt"]) for r in rows]


@pytest.fixture
async def dispatcher(clean: Servers) -> AsyncIterator[ManualDispatcher]:
    """Start a dispatcher with empty tables."""
    async with dispatcher_parts(clean) as make:
        yield ManualDispatcher(make)


def done(*ordinals: int) -> list[ItemOutcome]:
    return [ItemOutcome(ordinal=o, status="succeeded", result={}) for o in ordinals]


def ordinals(chunk: ChunkReady) -> list[int]:
    return [item.ordinal for item in chunk.items]


async def retried_chunk(dispatcher: ManualDispatcher) -> ChunkReady:
    """Return a chunk of three items that run for the second time."""
    await dispatcher.parts.add_batch({"": 3})
    await dispatcher.report(await dispatcher.take(), [again(0), again(1), again(2)])
    return await dispatcher.take()


async def test_a_chunk_of_retried_items_may_be_reported_in_parts(dispatcher: ManualDispatcher) -> None:
    chunk = await retried_chunk(dispatcher)
    await dispatcher.report(chunk, done(0), final=False)
    await dispatcher.report(chunk, [*done(1), again(2)])
    assert ordinals(await dispatcher.take()) == [2]
    assert [o for o, _ in await dispatcher.retries()] == [2]


async def test_reported_items_of_a_lost_chunk_are_not_dispatched_again(dispatcher: ManualDispatcher) -> None:
    chunk = await retried_chunk(dispatcher)
    await dispatcher.report(chunk, done(0), final=False)
    await dispatcher.lose()
    assert ordinals(await dispatcher.take()) == [1, 2]


async def test_a_lost_chunk_without_remaining_items_ends(dispatcher: ManualDispatcher) -> None:
    chunk = await retried_chunk(dispatcher)
    await dispatcher.report(chunk, done(0, 1, 2), final=False)
    await dispatcher.lose()
    assert (dispatcher.idle, dict(dispatcher.parts.state.leases), await dispatcher.parts.count("leases")) == (
        True,
        {},
        0,
    )
    assert dispatcher.parts.state.workload_queue("w").window.in_flight == 0


@pytest.mark.parametrize("reason", ["expired", "redelivered", "stopping"])
async def test_a_chunk_of_a_finished_batch_is_not_dispatched_again(
    dispatcher: ManualDispatcher, reason: Literal["expired", "redelivered", "stopping"]
) -> None:
    batch_id = await dispatcher.parts.add_batch({"": 3})
    chunk = await dispatcher.take()
    dispatcher.parts.state.remove_batch(batch_id)
    if reason == "expired":
        await dispatcher.lose()
    else:
        await dispatcher.give_back(chunk, reason)
    assert dispatcher.idle
    assert (await dispatcher.parts.count("leases"), dispatcher.parts.state.workload_queue("w").window.in_flight) == (
        0,
        0,
    )


@pytest.mark.parametrize("reason", ["redelivered", "stopping"])
async def test_a_chunk_that_is_returned_while_it_is_found_lost_is_sent_once(
    dispatcher: ManualDispatcher, monkeypatch: pytest.MonkeyPatch, reason: Literal["redelivered", "stopping"]
) -> None:
    await dispatcher.parts.add_batch({"": 2})
    chunk = await dispatcher.take()
    save, entered, go = dispatcher.parts.stores.leases.save_redispatch, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> None:
        entered.set()
        await go.wait()
        await save(*arguments)

    monkeypatch.setattr(dispatcher.parts.stores.leases, "save_redispatch", slow)
    losing = asyncio.create_task(dispatcher.lose())
    await entered.wait()
    returning = asyncio.create_task(dispatcher.give_back(chunk, reason))
    await asyncio.sleep(0)  # it waits for its turn, with the fence of before
    go.set()
    await asyncio.gather(losing, returning)
    assert ((await dispatcher.take()).fence, dispatcher.idle) == (2, True)


@pytest.mark.parametrize("saved", [False, True])
async def test_a_report_whose_save_was_interrupted_is_handled_again(
    dispatcher: ManualDispatcher, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    await dispatcher.parts.add_batch({"": 2})
    chunk = await dispatcher.take()
    monkeypatch.setattr(
        dispatcher.parts.stores.leases, "save_report", once(dispatcher.parts.stores.leases.save_report, first=saved)
    )
    await dispatcher.report(chunk, [again(0)], final=False, busy_ms=500)
    await dispatcher.report(chunk, done(1), busy_ms=500)
    assert [o for o, _ in await dispatcher.retries()] == [0]
    size = dispatcher.parts.state.workload_queue("w").window.sizes[chunk.batch_id][""]
    assert size.seconds_per_item == pytest.approx(0.5)


async def test_a_partial_report_survives_a_restart(dispatcher: ManualDispatcher) -> None:
    await dispatcher.parts.add_batch({"": 3})
    chunk = await dispatcher.take()
    await dispatcher.report(chunk, done(0, 1), final=False)
    dispatcher.restart()
    await dispatcher.load()
    await dispatcher.report(chunk, done(2))
    assert (await dispatcher.retries(), dict(dispatcher.parts.state.leases)) == ([], {})


async def test_a_cancel_while_a_retry_is_saved_settles_it(
    dispatcher: ManualDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await dispatcher.parts.add_batch({"": 1})
    chunk = await dispatcher.take()
    report, entered, cancelled = dispatcher.parts.stores.leases.save_report, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> None:
        entered.set()
        await cancelled.wait()
        await report(*arguments)

    monkeypatch.setattr(dispatcher.parts.stores.leases, "save_report", slow)
    reporting = asyncio.create_task(dispatcher.report(chunk, [again(0)]))
    await entered.wait()
    await dispatcher.parts.control(batch, "cancel")
    cancelled.set()
    await reporting
    assert dispatcher.parts.outbox.settled == [("cancelled", 0, None)]
    assert await dispatcher.retries() == []


@pytest.mark.parametrize("other", [0, 77])
async def test_a_foreign_or_repeated_ordinal_hides_no_missing_item(dispatcher: ManualDispatcher, other: int) -> None:
    await dispatcher.parts.add_batch({"": 2})
    await dispatcher.report(await dispatcher.take(), done(0, other))
    assert [o for o, _ in await dispatcher.retries()] == [1]
    assert dispatcher.parts.state.leases == {}


async def test_a_redelivered_chunk_goes_to_quarantine_without_its_reported_items(
    dispatcher: ManualDispatcher,
) -> None:
    await dispatcher.parts.add_batch({"": 4})
    chunk = await dispatcher.take()
    await dispatcher.report(chunk, done(0, 1), final=False)
    await dispatcher.give_back(chunk)
    again = await dispatcher.take()
    assert (again.chunk_id, again.fence, again.quarantined, ordinals(again)) == (chunk.chunk_id, 2, True, [2, 3])
    assert again.routing_key() == "work.w.quarantine"
    await dispatcher.give_back(chunk)
    assert dispatcher.idle, "the earlier one is late"
    await dispatcher.report(again, done(2, 3))
    assert (dict(dispatcher.parts.state.leases), dispatcher.parts.state.workload_queue("w").window.in_flight) == ({}, 0)


async def test_a_chunk_of_a_stopping_worker_is_dispatched_unchanged(dispatcher: ManualDispatcher) -> None:
    await dispatcher.parts.add_batch({"": 4})
    chunk = await dispatcher.take()
    for fence in range(2, 9):
        await dispatcher.give_back(chunk, "stopping")
        chunk = await dispatcher.take()
        assert (chunk.fence, chunk.quarantined, ordinals(chunk)) == (fence, False, [0, 1, 2, 3])
    await dispatcher.give_back(chunk)
    await dispatcher.give_back(await dispatcher.take(), "stopping")
    assert (await dispatcher.take()).quarantined
    assert [x.losses for x in dispatcher.parts.state.leases.values()] == [1]


async def test_no_chunk_is_halved_or_failed_while_a_worker_names_it(dispatcher: ManualDispatcher) -> None:
    """The connection of a worker that lives may be cut as often as it likes."""
    await dispatcher.parts.add_batch({"": 1})
    chunk = await dispatcher.take()
    for _ in range(2):
        await dispatcher.give_back(chunk)
        chunk = await dispatcher.take()
    await dispatcher.give_back(chunk)
    assert dispatcher.idle
    await dispatcher.report(chunk, done(0))
    assert (dispatcher.parts.outbox.settled, dict(dispatcher.parts.state.leases)) == ([], {})


@pytest.mark.parametrize("isolates", [True, False])
async def test_an_item_that_crashes_its_workers_fails_and_its_neighbours_succeed(
    dispatcher: ManualDispatcher, isolates: bool
) -> None:
    dispatcher.isolates = isolates
    dispatcher.beat()
    await dispatcher.parts.add_batch({"": 20})
    ran: list[int] = []
    losses = 0
    while not losses or dispatcher.parts.state.leases:
        chunk = await dispatcher.take()
        assert chunk.quarantined == (isolates and (chunk.fence > 1 or losses >= 3))
        if 7 in ordinals(chunk):
            losses += 1
        else:
            ran += ordinals(chunk)
            await dispatcher.report(chunk, done(*ordinals(chunk)))
        if dispatcher.idle:
            await dispatcher.lose()
    assert sorted(ran) == [o for o in range(20) if o != 7]
    assert dispatcher.parts.outbox.settled == [("failed", 7, "worker_lost")]
    assert losses <= 3 + 5 + 1
    assert dispatcher.parts.state.workload_queue("w").window.in_flight == 0
    assert await dispatcher.retries() == []


async def test_halves_survive_a_restart(dispatcher: ManualDispatcher) -> None:
    await dispatcher.parts.add_batch({"": 4})
    for _ in range(3):
        chunk = await dispatcher.take()
        await dispatcher.report(chunk, done(0), final=False)
        await dispatcher.lose()
    parts = [await dispatcher.take(), await dispatcher.take()]
    assert [ordinals(part) for part in parts] == [[1], [2, 3]]
    dispatcher.restart()
    await dispatcher.load()
    assert (len(dispatcher.parts.state.leases), dispatcher.parts.state.workload_queue("w").window.in_flight) == (2, 4)
    assert all(x.quarantined for x in dispatcher.parts.state.leases.values())
    for part in parts:
        await dispatcher.report(part, done(*ordinals(part)))
    assert (dict(dispatcher.parts.state.leases), dispatcher.parts.state.workload_queue("w").window.in_flight) == ({}, 0)


async def test_a_lost_chunk_waits_for_the_end_of_a_pause_and_ends_with_a_cancel(dispatcher: ManualDispatcher) -> None:
    batch = await dispatcher.parts.add_batch({"": 2})
    chunk = await dispatcher.take()
    await dispatcher.parts.control(batch, "pause")
    await dispatcher.give_back(chunk)
    await dispatcher.lose()
    assert dispatcher.idle
    await dispatcher.parts.control(batch, "resume")
    await dispatcher.lose()
    chunk = await dispatcher.take()
    await dispatcher.parts.control(batch, "cancel")
    await dispatcher.give_back(chunk)
    assert sorted(dispatcher.parts.outbox.settled) == [("cancelled", 0, None), ("cancelled", 1, None)]
    assert dispatcher.parts.state.leases == {}


async def test_a_chunk_leaves_quarantine_when_no_worker_takes_it(dispatcher: ManualDispatcher) -> None:
    await dispatcher.parts.add_batch({"": 2})
    await dispatcher.give_back(await dispatcher.take())
    assert (await dispatcher.take()).quarantined
    dispatcher.isolates = False
    await dispatcher.lose(waiting=1)
    assert not (await dispatcher.take()).quarantined


@pytest.mark.parametrize("saved", [False, True])
async def test_a_loss_whose_save_was_interrupted_counts_once(
    dispatcher: ManualDispatcher, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    await dispatcher.parts.add_batch({"": 2})
    chunk = await dispatcher.take()
    monkeypatch.setattr(
        dispatcher.parts.stores.leases,
        "save_redispatch",
        once(dispatcher.parts.stores.leases.save_redispatch, first=saved),
    )
    await dispatcher.give_back(chunk)
    again = await dispatcher.take()
    rows = await dispatcher.parts.pool.fetch("SELECT fence, losses FROM leases")
    assert ([tuple(row) for row in rows], again.fence) == ([(2, 1)], 2)


async def test_a_chunk_that_cannot_be_recovered_holds_up_no_other(
    dispatcher: ManualDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dispatcher.parts.add_batch({"a": 1, "b": 1, "c": 1})
    chunks = {chunk.partition: chunk for chunk in [await dispatcher.take() for _ in range(3)]}
    leases = dispatcher.parts.stores.leases
    save = leases.save_redispatch

    async def save_redispatch(changed: Sequence[Lease]) -> None:
        if any(lease.partition == "b" for lease in changed):
            raise asyncpg.DataError("value out of range")
        await save(changed)

    monkeypatch.setattr(leases, "save_redispatch", save_redispatch)
    with pytest.raises(ExceptionGroup, match="chunks not recovered"):
        await dispatcher.lose()
    sent = {(chunk.partition, chunk.fence) for chunk in dispatcher.parts.outbox.chunks[3:]}
    assert sent == {("a", 2), ("c", 2)}
    assert dispatcher.parts.state.leases[chunks["b"].chunk_id].seen_at > time.monotonic(), "it is tried again later"
    monkeypatch.undo()
    await dispatcher.lose()
    assert ("b", 2) in {(chunk.partition, chunk.fence) for chunk in dispatcher.parts.outbox.chunks[5:]}


async def test_a_lost_chunk_is_found_although_its_queue_is_never_empty(dispatcher: ManualDispatcher) -> None:
    first = await dispatcher.parts.add_batch({"": 1})
    lost = await dispatcher.take()
    await dispatcher.parts.add_batch({"": 1})
    later = await dispatcher.take()
    assert lost.batch_id == first
    await dispatcher.lose(waiting=5)
    assert dispatcher.idle, "it may still wait"
    dispatcher.parts.state.leases[lost.chunk_id].sent_at -= 100
    dispatcher.beat(later)
    await dispatcher.lose(waiting=5)
    found = await dispatcher.take()
    assert (found.chunk_id, found.fence) == (lost.chunk_id, 2)
    await dispatcher.lose(waiting=5)
    assert dispatcher.idle, "it went in after the one that was named"


async def test_integers_of_a_payload_and_a_state_keep_all_digits(dispatcher: ManualDispatcher) -> None:
    batch, huge = uuid.uuid4(), 2**80 + 1
    items = [PageItem(ordinal=0, payload={"n": huge}, custom_id="x")]
    page = ItemsPage(batch_id=batch, workload="w", page=0, segments=[Segment(partition="", items=items)])
    await dispatcher.parts.intake.on_items_pages([received(page)])
    await dispatcher.parts.accept(batch)
    chunk = await dispatcher.take()
    assert chunk.items[0].payload == {"n": huge}
    await dispatcher.report(chunk, [ItemOutcome(ordinal=0, status="continued", state={"poll": huge}, delay_s=0.0)])
    (item,) = (await dispatcher.take()).items
    assert (item.payload, item.state, item.custom_id) == ({"n": huge}, {"poll": huge}, "x")


async def test_the_pulse_beats_while_the_publisher_waits_for_the_broker(dispatcher: ManualDispatcher) -> None:
    beats, refusals = 0, 2

    def beat() -> None:
        nonlocal beats
        beats += 1

    def refuse(_: Sequence[OutgoingMessage]) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise PublishFailed("away")

    await dispatcher.parts.add_batch({"": 1})
    await dispatcher.take()
    parts = dispatcher.parts
    stop_failed = parts.batch_stopper.stop_failed
    pages, publisher = PageCache(parts.stores), cast("Publisher", parts.outbox)
    settler = ChunkSettler(parts.state, parts.stores, parts.settler, pages)
    chunk_publisher = ChunkPublisher(parts.state, parts.stores, publisher, pages, settler, stop_failed, on_wait=beat)
    parts.outbox.refuse = refuse
    await chunk_publisher.publish(list(parts.state.leases.values()))
    assert beats == 2


async def request_start(
    dispatcher: ManualDispatcher, chunk: ChunkReady, *ordinals: int, worker_id: str = "hand"
) -> bool:
    """A worker asks whether it may begin items that must not run twice."""
    asked = StartPermitQuery(chunk_id=chunk.chunk_id, fence=chunk.fence, worker_id=worker_id, ordinals=list(ordinals))
    return (await dispatcher.parts.start_permits.on_permit_query(asked, ENVELOPE)).granted


async def test_a_worker_id_that_cannot_be_stored_gets_no_permit(dispatcher: ManualDispatcher) -> None:
    await dispatcher.parts.add_batch({"": 1})
    chunk = await dispatcher.take()
    with pytest.raises(MessageRejected, match="no NUL character"):
        await request_start(dispatcher, chunk, 0, worker_id="w\x00")
    assert await request_start(dispatcher, chunk, 0)


REVIEW = ("failed", 1, "needs_review")


@pytest.mark.parametrize("retried", [False, True])
@pytest.mark.parametrize("restart", [False, True])
async def test_started_items_that_must_not_run_twice_are_not_dispatched_again_after_a_loss(
    dispatcher: ManualDispatcher, retried: bool, restart: bool
) -> None:
    if retried:
        chunk = await retried_chunk(dispatcher)
    else:
        await dispatcher.parts.add_batch({"": 3})
        chunk = await dispatcher.take()
    assert await request_start(dispatcher, chunk, 0)
    assert await request_start(dispatcher, chunk, 0, 1), "a question whose answer was lost is asked again"
    await dispatcher.report(chunk, done(0), final=False)
    if restart:
        dispatcher.restart()
        await dispatcher.load()
        dispatcher.beat(chunk)
        assert await dispatcher.parts.components.orphans.find_orphans(AsyncMock(return_value=0), _now) == []
    await dispatcher.lose()
    assert dispatcher.parts.outbox.settled == [REVIEW]
    assert ordinals(await dispatcher.take()) == [2]
    assert [o for o, _ in await dispatcher.retries()] == ([2] if retried else [])
    assert not await request_start(dispatcher, chunk, 2), "the worker was but silent: it begins nothing more"


async def test_a_lost_chunk_ends_if_all_remaining_items_had_started(dispatcher: ManualDispatcher) -> None:
    await dispatcher.parts.add_batch({"": 2})
    chunk = await dispatcher.take()
    await request_start(dispatcher, chunk, 0, 1)
    await dispatcher.report(chunk, done(0), final=False)
    await dispatcher.lose()
    assert dispatcher.parts.outbox.settled == [REVIEW]
    assert (dispatcher.idle, dict(dispatcher.parts.state.leases), await dispatcher.parts.count("leases")) == (
        True,
        {},
        0,
    )


async def test_a_redelivered_chunk_stays_with_the_worker_that_may_still_run_its_items(
    dispatcher: ManualDispatcher,
) -> None:
    await dispatcher.parts.add_batch({"": 3})
    chunk = await dispatcher.take()
    await request_start(dispatcher, chunk, 1)
    await dispatcher.give_back(chunk)
    assert (dispatcher.idle, dispatcher.parts.outbox.settled) == (True, [])
    assert await request_start(dispatcher, chunk, 2)
    await dispatcher.report(chunk, done(0, 1, 2))
    assert (dispatcher.parts.outbox.settled, dict(dispatcher.parts.state.leases)) == ([], {})


async def test_only_one_worker_may_start_items_that_must_not_run_twice(dispatcher: ManualDispatcher) -> None:
    await dispatcher.parts.add_batch({"": 3})
    chunk = await dispatcher.take()
    assert await request_start(dispatcher, chunk, 1)
    assert not await request_start(dispatcher, chunk, 2, worker_id="other")
    assert not await request_start(dispatcher, chunk.model_copy(update={"chunk_id": uuid.uuid4()}), 2)
    await dispatcher.give_back(chunk, "stopping")
    assert dispatcher.parts.outbox.settled == [REVIEW]
    given = await dispatcher.take()
    assert ordinals(given) == [0, 2]
    assert not await request_start(dispatcher, chunk, 0)
    assert await request_start(dispatcher, given, 0, worker_id="other")


async def test_no_item_starts_while_its_chunk_is_dispatched_again(
    dispatcher: ManualDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dispatcher.parts.add_batch({"": 1})
    chunk = await dispatcher.take()
    regive, entered, go = dispatcher.parts.stores.leases.save_redispatch, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> None:
        entered.set()
        await go.wait()
        await regive(*arguments)

    monkeypatch.setattr(dispatcher.parts.stores.leases, "save_redispatch", slow)
    losing = asyncio.create_task(dispatcher.lose())
    await entered.wait()
    asking = asyncio.create_task(request_start(dispatcher, chunk, 0))
    go.set()
    assert not await asking
    await losing
    assert ordinals(await dispatcher.take()) == [0]


LateStep = Callable[[ManualDispatcher, ChunkReady], Awaitable[object]]
LATE_STEPS: dict[str, LateStep] = {
    "all ended": lambda d, chunk: d.report(chunk, done(0, 1, 2)),
    "one ended": lambda d, chunk: d.report(chunk, done(0), final=False),
    "run again": lambda d, chunk: d.report(chunk, [again(0), again(1), again(2)]),
    "gave up": lambda d, chunk: d.report(chunk, [ItemOutcome(ordinal=0, status="retry")]),
    "stopping": lambda d, chunk: d.give_back(chunk, "stopping"),
    "redelivered": lambda d, chunk: d.give_back(chunk),
    "lost": lambda d, _: d.lose(),
    "permit": lambda d, chunk: request_start(d, chunk, 2),
    "too large": lambda d, chunk: d.parts.components.undeliverable.record(
        ChunksRefused([], [d.parts.state.leases[chunk.chunk_id]]), lambda: None
    ),
}
"""Messages on a chunk whose round is over, and its loss."""


@pytest.mark.parametrize("was_sent", [False, True])
@pytest.mark.parametrize("late", LATE_STEPS)
async def test_late_messages_of_a_round_change_nothing_in_the_next(
    dispatcher: ManualDispatcher, late: str, was_sent: bool
) -> None:
    dispatcher.parts.add_workload("w", chunk_max=100, retry={"default": {"attempts": 1}})
    chunk = await retried_chunk(dispatcher)
    assert await request_start(dispatcher, chunk, 1)
    await dispatcher.parts.finish(chunk.batch_id, 1)
    await dispatcher.parts.reopen(chunk.batch_id, 2, [0, 1, 2])
    new = await dispatcher.take() if was_sent else None
    if new and late == "lost":
        await dispatcher.report(new, done(0, 1, 2))
    rows = "SELECT * FROM retries ORDER BY ordinal"
    before = await dispatcher.parts.pool.fetch(rows)
    await LATE_STEPS[late](dispatcher, chunk)
    assert dispatcher.parts.outbox.settled == []
    assert await dispatcher.parts.pool.fetch(rows) == before
    new = new or await dispatcher.take()
    assert (new.round, new.attempt, ordinals(new), dispatcher.idle) == (2, 1, [0, 1, 2], True)
    await dispatcher.report(chunk, done(0, 1, 2))
    await dispatcher.report(new, done(0, 1, 2))
    assert (await dispatcher.retries(), dict(dispatcher.parts.state.leases)) == ([], {})


async def test_a_lost_chunk_of_retried_items_leaves_nothing_behind_once_its_round_is_over(
    dispatcher: ManualDispatcher,
) -> None:
    chunk = await retried_chunk(dispatcher)
    await dispatcher.parts.finish(chunk.batch_id, 1)
    assert await dispatcher.parts.count("retries") == 3
    await dispatcher.lose()
    assert (await dispatcher.parts.count("leases"), await dispatcher.parts.count("retries")) == (0, 0)


async def test_no_start_is_permitted_once_the_round_is_over(dispatcher: ManualDispatcher) -> None:
    batch = await dispatcher.parts.add_batch({"": 1})
    chunk = await dispatcher.take()
    await dispatcher.parts.finish(batch, 1)
    assert not await request_start(dispatcher, chunk, 0)
    await dispatcher.parts.reopen(batch, 2, [0])
    assert not await request_start(dispatcher, chunk, 0)
    assert await request_start(dispatcher, await dispatcher.take(), 0)


async def test_late_writes_of_a_round_do_not_change_the_retries_of_the_next(
    dispatcher: ManualDispatcher,
) -> None:
    """The round may change while a dispatched chunk or a report is saved, or while a stopped batch is settled."""
    chunk = await retried_chunk(dispatcher)
    lease, batch = dispatcher.parts.state.leases[chunk.chunk_id], dispatcher.parts.state.batches[chunk.batch_id]
    await dispatcher.parts.finish(chunk.batch_id, 1)
    await dispatcher.parts.reopen(chunk.batch_id, 2, [0, 1])
    rows = "SELECT * FROM retries WHERE round = 2 ORDER BY ordinal"
    before = await dispatcher.parts.pool.fetch(rows)
    stores = dispatcher.parts.stores
    late = [Retry(batch.batch_id, o, 1, "", 2, 0, 0.0, b'{"ordinal":%d,"payload":{}}' % o) for o in (0, 2)]
    await stores.leases.save_leases([lease], [])
    await stores.leases.save_report(late, [], [(batch.batch_id, 1, 1)])
    await dispatcher.parts.settler.settle_waiting(batch, "cancelled")
    assert [o for _, o, _ in dispatcher.parts.outbox.settled] == [2], "the one of the earlier round"
    await stores.leases.end_items(lease, [0, 1])
    assert await dispatcher.parts.pool.fetch(rows) == before
    await stores.leases.save_report(late, [], [])
    assert ordinals(await dispatcher.take()) == [0, 1], "the late row does not run"


async def test_a_retry_stays_in_quarantine_and_a_continuation_leaves_it(
    dispatcher: ManualDispatcher,
) -> None:
    await dispatcher.parts.add_batch({"": 3})
    chunk = await dispatcher.take()
    await dispatcher.give_back(chunk)
    lost = await dispatcher.take()
    assert lost.quarantined
    goes_on = ItemOutcome(ordinal=2, status="continued", state=1, delay_s=0.0)
    await dispatcher.report(lost, [*done(0), again(1), goes_on])
    first, second = await dispatcher.take(), await dispatcher.take()
    assert {(*ordinals(c), c.quarantined) for c in (first, second)} == {(1, True), (2, False)}
    rows = await dispatcher.parts.pool.fetch("SELECT quarantined FROM leases ORDER BY quarantined")
    assert [row["quarantined"] for row in rows] == [False, True]
    dispatcher.restart()
    await dispatcher.load()
    assert sorted(lease.quarantined for lease in dispatcher.parts.state.leases.values()) == [False, True]
    stays = first if first.quarantined else second
    dispatcher.isolates = False  # who takes quarantined chunks is gone meanwhile
    dispatcher.beat()
    await dispatcher.report(stays, [again(1)])
    assert not (await dispatcher.take()).quarantined


def remedied(batch_id: uuid.UUID, remedy: Any, round_: int = 1) -> BatchRemedied:
    return BatchRemedied(batch_id=batch_id, owner="o", round=round_, remedy=remedy, at=datetime.now(UTC))


async def test_released_chunks_run_again_and_late_reports_of_them_do_not_count(dispatcher: ManualDispatcher) -> None:
    batch_id, other = [await dispatcher.parts.add_batch({"": 3}) for _ in range(2)]
    chunks = [await dispatcher.take(), await dispatcher.take()]
    held = next(chunk for chunk in chunks if chunk.batch_id == batch_id)
    dispatcher.beat(*chunks)  # its worker lives, and says that it has the chunk
    await dispatcher.parts.recovery.on_batch_remedied(remedied(batch_id, "release"), ENVELOPE)
    again_ = await dispatcher.take()
    assert (again_.batch_id, ordinals(again_), again_.fence) == (batch_id, [0, 1, 2], held.fence + 1)
    assert dispatcher.idle, f"the chunk of {other} stays where it is"
    await dispatcher.report(held, done(0, 1, 2))
    assert await dispatcher.parts.count("leases") == 2, "the report of the released chunk is late"
    await dispatcher.report(again_, done(0, 1, 2))
    assert await dispatcher.parts.count("leases") == 1


@pytest.mark.parametrize(("remedy", "round_"), [("replay", 1), ("release", 0)])
async def test_a_remedy_that_is_not_for_the_dispatcher_leaves_its_chunks(
    dispatcher: ManualDispatcher, remedy: Any, round_: int
) -> None:
    batch_id = await dispatcher.parts.add_batch({"": 3})
    chunk = await dispatcher.take()
    message = remedied(batch_id, remedy).model_copy(update={"round": round_})  # an earlier round than that of the chunk
    await dispatcher.parts.recovery.on_batch_remedied(message, ENVELOPE)
    assert dispatcher.idle
    assert dispatcher.parts.state.leases[chunk.chunk_id].fence == chunk.fence
