"""Terms of a batch: stored with their time, effective at once, and kept through a restart."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from batchyard_contracts.v1.flow import BatchStopped, ItemOutcome, ItemsSettled
from batchyard_contracts.v1.queries import WaitingQuery
from batchyard_contracts.v1.values import ItemError, Rate, RetryRule, StopReason, Terms
from devstack import Servers
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.rate_limiting.batch_limits import BatchLimits
from services.dispatcher.intake.dedup_claims import DedupClaims
from tests.support.dispatcher_parts import ENVELOPE, Parts, again, dispatcher_parts

NOW = datetime.now(UTC)


@pytest.fixture
async def make(clean: Servers) -> AsyncIterator[Callable[[], Parts]]:
    """Makes dispatchers with a worker for the workload "w", on tables that are empty at first."""
    async with dispatcher_parts(clean) as parts:

        def made() -> Parts:
            one = parts()
            one.add_workload("w", chunk_max=100)
            return one

        yield made


@pytest.fixture
def parts(make: Callable[[], Parts]) -> Parts:
    """The first of them."""
    return make()


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def stopped(batch: uuid.UUID, cause: StopReason, round_: int = 1) -> BatchStopped:
    return BatchStopped(batch_id=batch, owner="o", round=round_, reason=cause, detail="", at=NOW)


def causes(parts: Parts) -> set[StopReason | None]:
    return {ItemsSettled.decode(m.body).reason for m in parts.outbox.sent if m.type == ItemsSettled.type}


def stopped_rounds(parts: Parts) -> list[tuple[uuid.UUID, int, str]]:
    messages = [BatchStopped.decode(m.body) for m in parts.outbox.sent if m.type == BatchStopped.type]
    return [(t.batch_id, t.round, t.reason) for t in messages]


def out(parts: Parts, batch: uuid.UUID) -> int:
    return sum(len(c.items) for c in parts.outbox.chunks if c.batch_id == batch)


async def test_of_two_commands_of_one_time_the_first_holds(parts: Parts) -> None:
    """The ledger decides alike. Ingest gives no two commands of a batch one time."""
    batch_id, at = await parts.add_batch({"": 1}), datetime.now(UTC)
    for action in ("pause", "resume"):
        await parts.control(batch_id, action, at)
    assert parts.state.batches[batch_id].paused


async def test_the_latest_change_of_each_term_holds(make: Callable[[], Parts]) -> None:
    parts, batch = make(), uuid.uuid4()
    await parts.control(batch, "change", NOW, terms=Terms(weight=5))  # overtakes the header
    await parts.accept(batch, terms=Terms(weight=2, concurrency=3), accepted_at=NOW - timedelta(seconds=9))
    assert parts.state.batches[batch].terms == Terms(weight=5, concurrency=3)
    await parts.control(batch, "change", NOW + timedelta(seconds=2), clear=["concurrency"])
    await parts.control(batch, "change", NOW + timedelta(seconds=1), terms=Terms(concurrency=8, weight=7))
    await parts.accept(batch, terms=Terms(weight=2, concurrency=3), accepted_at=NOW - timedelta(seconds=9))
    assert parts.state.batches[batch].terms == Terms(weight=7)
    successor = make()
    await successor.intake.load()
    assert successor.state.batches[batch].terms == Terms(weight=7)


async def test_a_batch_waits_for_its_start_time_and_says_so(make: Callable[[], Parts]) -> None:
    parts = make()
    at = later(3600)
    waiting = await parts.add_batch({"": 2}, terms=Terms(not_before=at))
    await parts.control(waiting, "pause")
    await parts.control(waiting, "resume")
    other = await parts.add_batch({"": 1}, terms=Terms(not_before=NOW))
    async with parts.dispatching():
        await parts.until(lambda: out(parts, other) == 1)
        assert out(parts, waiting) == 0
    query = WaitingQuery(owner="o", batch_ids=[waiting])
    (reason,) = (await parts.components.waiting_query.on_waiting_query(query, ENVELOPE)).batches
    assert reason.reason.code == "not_before"
    assert reason.reason.until is not None
    assert abs(reason.reason.until - at) < timedelta(seconds=5)
    successor = make()
    await successor.intake.load()
    async with successor.dispatching():
        third = await successor.add_batch({"": 1})
        await successor.until(lambda: out(successor, third) == 1)
        assert out(successor, waiting) == 0
        await successor.control(waiting, "change", terms=Terms(not_before=later(0.2)))
        await successor.until(lambda: out(successor, waiting) == 2)


async def test_a_paused_batch_does_not_run_when_its_start_time_comes(parts: Parts) -> None:
    batch = await parts.add_batch({"": 2}, terms=Terms(not_before=later(0.1)))
    await parts.control(batch, "pause")
    async with parts.dispatching():
        await parts.until(lambda: batch not in parts.state.start_times)
        other = await parts.add_batch({"": 1})
        await parts.until(lambda: out(parts, other) == 1)
        assert out(parts, batch) == 0
        await parts.control(batch, "resume")
        await parts.until(lambda: out(parts, batch) == 2)


async def test_the_concurrency_of_a_batch_does_not_limit_another(parts: Parts) -> None:
    held = await parts.add_batch({"x": 50, "y": 50}, terms=Terms(concurrency=3))
    free = await parts.add_batch({"x": 20})
    async with parts.dispatching():
        await parts.until(lambda: out(parts, free) == 20)
        assert out(parts, held) == 3
        first = next(c for c in parts.outbox.chunks if c.batch_id == held)
        await parts.report(first, [ItemOutcome(ordinal=i.ordinal, status="succeeded") for i in first.items])
        await parts.until(lambda: out(parts, held) == 3 + len(first.items))
        await parts.control(held, "change", terms=Terms(concurrency=10))
        await parts.until(lambda: out(parts, held) == 10 + len(first.items))


async def test_the_rate_of_a_batch_holds_until_it_is_removed(parts: Parts) -> None:
    batch = await parts.add_batch({"x": 100}, terms=Terms(rate=Rate(per_second=10, burst=2)))
    clock = asyncio.get_running_loop().time
    began = clock()
    async with parts.dispatching():
        await parts.until(lambda: out(parts, batch) >= 6)
        assert out(parts, batch) <= 2 + 10 * (clock() - began) + 1
        await parts.control(batch, "change", clear=["rate"])
        await parts.until(lambda: out(parts, batch) >= 20)


async def test_batches_share_the_items_by_weight(parts: Parts) -> None:
    parts.add_workload("w", chunk_max=8)  # of larger ones too few go out for shares to be visible
    batches = [await parts.add_batch({"x": 500}, terms=Terms(weight=w)) for w in (1, 1)]
    await parts.control(batches[1], "change", terms=Terms(weight=4))
    served: Counter[uuid.UUID] = Counter()
    async with parts.dispatching():
        done = 0
        while sum(served.values()) < 250:
            await parts.until(lambda seen=done: len(parts.outbox.chunks) > seen)  # type: ignore[misc]
            for chunk in parts.outbox.chunks[done:]:
                done += 1
                served[chunk.batch_id] += len(chunk.items)
                await parts.report(chunk, [ItemOutcome(ordinal=i.ordinal, status="succeeded") for i in chunk.items])
    assert 3 < served[batches[1]] / served[batches[0]] < 5


async def test_retry_rules_of_a_batch_replace_those_of_the_workload(parts: Parts) -> None:
    rules = {"busy": RetryRule(attempts=1)}
    batch = await parts.add_batch({"": 2}, terms=Terms(retry=rules))
    async with parts.dispatching():
        await parts.until(lambda: out(parts, batch) == 2)
    (chunk,) = parts.outbox.chunks
    outcomes = [ItemOutcome(ordinal=n, status="retry", error=ItemError(code=c)) for n, c in enumerate(("busy", "slow"))]
    await parts.report(chunk, outcomes)
    assert parts.outbox.settled == [("failed", 0, "busy")]
    assert await parts.count("retries") == 1


async def test_a_deadline_expires_items_in_flight_before_the_workers_are_stopped(
    parts: Parts,
) -> None:
    batch = await parts.add_batch({"": 3000, "x": 4})
    other = await parts.add_batch({"": 1})
    stopping = asyncio.create_task(parts.batch_stopper.run())
    async with parts.dispatching():
        await parts.until(lambda: bool(out(parts, batch) and out(parts, other)))
        await parts.control(batch, "change", terms=Terms(deadline=later(0.2)))
        await parts.until(lambda: bool(stopped_rounds(parts)))
        sent = [m.type for m in parts.outbox.sent]
        messages = [
            ItemsSettled.decode(m.body)
            for m in parts.outbox.sent[: sent.index(BatchStopped.type)]
            if m.type == ItemsSettled.type
        ]
        given = [i.ordinal for c in parts.outbox.chunks if c.batch_id == batch for i in c.items]
        assert sorted(i.ordinal for t in messages for i in t.items) == sorted(given)
        await parts.until(lambda: len(parts.outbox.settled) == 3004)
        assert sorted(o for _, o, _ in parts.outbox.settled) == list(range(3004))
        assert {status for status, _, _ in parts.outbox.settled} == {"expired"}
        assert causes(parts) == {"deadline"}
        assert stopped_rounds(parts) == [(batch, 1, "deadline")]
        assert {b.batch_id for b in parts.state.batches.values() if not b.stop_status} == {other}
        await parts.pages(batch, {"": 5}, page=9)  # added afterwards
        # the loop and the helper may settle them both
        await parts.until(lambda: len({ordinal for _, ordinal, _ in parts.outbox.settled}) == 3009)
        for chunk in [c for c in parts.outbox.chunks if c.batch_id == batch]:
            await parts.report(chunk, [again(i.ordinal) for i in chunk.items])
    stopping.cancel()
    assert {status for status, _, _ in parts.outbox.settled} == {"expired"}
    assert [await parts.count(table) for table in ("retries", "leases")] == [0, 1]


async def test_a_deadline_that_passed_without_an_active_dispatcher_expires_the_items(make: Callable[[], Parts]) -> None:
    first = make()
    batch = await first.add_batch({"": 10}, terms=Terms(deadline=later(0.2)))
    async with first.dispatching():
        await first.until(lambda: out(first, batch) == 10)
    successor = make()
    await successor.intake.load()
    for lease in await successor.stores.leases.leases(0.0):
        successor.state.add_lease(lease)
    stopping = asyncio.create_task(successor.batch_stopper.run())
    await successor.until(lambda: bool(stopped_rounds(successor)))
    stopping.cancel()
    assert sorted(o for _, o, _ in successor.outbox.settled) == list(range(10))


async def test_the_next_dispatcher_completes_an_interrupted_stop(make: Callable[[], Parts]) -> None:
    first = make()
    batch = await first.add_batch({"": 10})
    async with first.dispatching():
        await first.until(lambda: out(first, batch) == 10)
    await first.stores.batches.save_stop(batch, 1, "deadline")  # and dies
    successor = make()
    await successor.intake.load()
    for lease in await successor.stores.leases.leases(0.0):
        successor.state.add_lease(lease)
    await successor.batch_stopper.drain()
    assert sorted(o for _, o, _ in successor.outbox.settled) == list(range(10))
    assert stopped_rounds(successor) == [(batch, 1, "deadline")]


async def test_a_batch_whose_own_data_fails_is_stopped_with_a_reason_and_the_others_go_on(
    parts: Parts, make: Callable[[], Parts], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = await parts.add_batch({"": 3}, terms=Terms(concurrency=5))
    works = BatchLimits.available
    limits = parts.state.batch_limits[bad]

    def available(self: BatchLimits, in_flight: int, now: float) -> int | None:
        if self is limits:
            raise OverflowError("cannot convert float infinity to integer")
        return works(self, in_flight, now)

    monkeypatch.setattr(BatchLimits, "available", available)
    running = asyncio.create_task(parts.batch_stopper.run())
    try:
        async with parts.dispatching():
            good = await parts.add_batch({"": 4}, terms=Terms(concurrency=5))
            await parts.until(
                lambda: out(parts, good) == 4 and bool(stopped_rounds(parts)) and len(parts.outbox.settled) == 3
            )
    finally:
        parts.batch_stopper.stop()
        await asyncio.wait([running])
    assert (out(parts, bad), stopped_rounds(parts), causes(parts)) == (
        0,
        [(bad, 1, "internal_error")],
        {"internal_error"},
    )
    assert {settled[:2] for settled in parts.outbox.settled} == {("cancelled", ordinal) for ordinal in range(3)}
    successor = make()
    await successor.intake.load()
    assert successor.state.batches[bad].stop_reason == "internal_error"


async def test_a_batch_that_cannot_be_stopped_delays_no_other_deadline(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = await parts.add_batch({"": 1}, terms=Terms(deadline=later(-2)))
    good = await parts.add_batch({"": 1}, terms=Terms(deadline=later(-1)))
    save, tried = parts.stores.batches.save_stop, Counter[uuid.UUID]()

    async def save_stop(batch_id: uuid.UUID, round_: int, reason: StopReason) -> None:
        tried[batch_id] += 1
        if batch_id == bad:
            raise asyncpg.DataError("value out of range")
        await save(batch_id, round_, reason)

    monkeypatch.setattr(parts.stores.batches, "save_stop", save_stop)
    for errors in (1, 0):
        assert len(await parts.batch_stopper.stop_due()) == errors
    assert (parts.state.batches[good].stop_status, parts.state.batches[bad].stop_status) == ("expired", None)
    assert tried == {bad: 1, good: 1}, "the other is tried again after a pause"


async def test_a_batch_that_cannot_be_loaded_is_stopped_and_the_others_are_loaded(
    parts: Parts, make: Callable[[], Parts], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = await parts.add_batch({"": 2}), await parts.add_batch({"": 3})
    load = DedupClaims.load

    async def failing(self: DedupClaims, batch: Batch) -> None:
        if batch.batch_id == bad:
            raise ValueError("non-hexadecimal number found")
        await load(self, batch)

    monkeypatch.setattr(DedupClaims, "load", failing)
    successor = make()
    await successor.intake.load()
    assert await successor.batch_stopper.stop_due() == []
    await successor.batch_stopper.drain()
    assert {settled[:2] for settled in successor.outbox.settled} == {("cancelled", 0), ("cancelled", 1)}
    async with successor.dispatching():
        await successor.until(lambda: out(successor, good) == 3)
    assert out(successor, bad) == 0


async def test_a_batch_whose_pages_cannot_be_read_is_stopped_and_the_others_go_on(
    parts: Parts, make: Callable[[], Parts], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = await parts.add_batch({"": 2}), await parts.add_batch({"": 3})
    successor = make()
    await successor.intake.load()
    read = successor.stores.pages.waiting_slices

    async def failing(batch_id: uuid.UUID, *arguments: Any, **named: Any) -> Any:
        if batch_id == bad:
            raise asyncpg.DataError("value out of range")
        return await read(batch_id, *arguments, **named)

    monkeypatch.setattr(successor.stores.pages, "waiting_slices", failing)
    async with successor.dispatching():
        await successor.until(lambda: out(successor, good) == 3)
        assert await successor.batch_stopper.stop_due() == []
    assert successor.state.batches[bad].stop_reason == "internal_error"


@pytest.mark.parametrize("step", ["create", "save", "read", "write"])
async def test_a_batch_whose_chunk_cannot_be_made_is_stopped_and_the_others_go_on(
    parts: Parts, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = await parts.add_batch({"": 2}), await parts.add_batch({"": 3})
    chunk_publisher = parts.dispatch_loop._publisher
    owner, method = {
        "create": (chunk_publisher, "_create_lease"),
        "save": (parts.stores.leases, "save_leases"),
        "read": (parts.components.pages, "items"),
        "write": (chunk_publisher, "_chunk"),
    }[step]
    works = getattr(owner, method)
    is_fixed = False

    def failing(*arguments: Any, **named: Any) -> Any:
        if str(bad) in str(arguments) and not is_fixed:
            raise ValueError("a defect")
        return works(*arguments, **named)

    monkeypatch.setattr(owner, method, failing)
    async with parts.dispatching():
        await parts.until(lambda: out(parts, good) == 3 and bad in parts.batch_stopper._failed)
        is_fixed = True
        assert await parts.batch_stopper.stop_due() == []
        await parts.batch_stopper.drain()
    assert out(parts, bad) == 0
    assert stopped_rounds(parts) == [(bad, 1, "internal_error")]
    assert {settled[:2] for settled in parts.outbox.settled} == {("cancelled", 0), ("cancelled", 1)}
    window = parts.state.workload_queue("w").window
    assert window.in_flight_by_batch[bad] == sum(
        x.source.count for x in parts.state.leases.values() if x.batch_id == bad
    )


@pytest.mark.parametrize("begins", ["takeover", "control"])
async def test_a_batch_whose_stored_terms_cannot_be_read_is_stopped_with_a_reason(
    parts: Parts, make: Callable[[], Parts], begins: str
) -> None:
    bad, good = [await parts.add_batch({"": 2}, terms=Terms(weight=2)) for _ in range(2)]
    await parts.pool.execute("UPDATE terms SET value = '-1' WHERE batch_id = $1", bad)
    if begins == "takeover":
        parts = make()
        await parts.intake.load()
    else:
        await parts.control(bad, "resume")
    assert await parts.batch_stopper.stop_due() == []
    await parts.batch_stopper.drain()
    assert {settled[:2] for settled in parts.outbox.settled} == {("cancelled", 0), ("cancelled", 1)}
    (told,) = [BatchStopped.decode(m.body) for m in parts.outbox.sent if m.type == BatchStopped.type]
    assert (told.batch_id, told.reason) == (bad, "internal_error")
    assert "stored terms" in told.detail
    async with parts.dispatching():
        await parts.until(lambda: out(parts, good) == 2)
    assert out(parts, bad) == 0


async def test_a_deadline_can_be_postponed_and_removed(parts: Parts) -> None:
    batch = await parts.add_batch({"": 1}, terms=Terms(deadline=later(3600)))
    assert parts.state.deadlines
    await parts.control(batch, "change", terms=Terms(deadline=later(7200)))
    assert parts.state.deadlines[batch] > later(3700)
    await parts.control(batch, "change", clear=["deadline"])
    assert parts.state.deadlines == {}


async def test_a_deadline_before_the_retry_request_does_not_expire_the_new_round(parts: Parts) -> None:
    batch = await parts.add_batch({"": 1}, terms=Terms(deadline=later(-60)))
    assert await parts.batch_stopper.stop_due() == []
    assert parts.state.batches[batch].stop_status == "expired"
    await parts.stores.batches.finish({batch: 1})
    again = await parts.stores.batches.reopen(batch, 2, datetime.now(UTC))
    assert again
    assert (again.stop_status, again.deadline) == (None, None)


@pytest.mark.parametrize(
    ("cause", "status"), [("failure_threshold", "cancelled"), ("never_sealed", "expired"), ("deadline", "expired")]
)
async def test_a_batch_stopped_by_another_service_ends(parts: Parts, cause: StopReason, status: str) -> None:
    batch = await parts.add_batch({"": 5})
    await parts.intake.on_batch_stopped(stopped(batch, cause), ENVELOPE)
    await parts.batch_stopper.drain()
    assert parts.outbox.settled == [(status, n, None) for n in range(5)]
    assert causes(parts) == {cause}
    async with parts.dispatching():
        other = await parts.add_batch({"": 1})
        await parts.until(lambda: out(parts, other) == 1)
    assert out(parts, batch) == 0


async def test_a_stop_applies_only_to_the_round_that_it_names(parts: Parts) -> None:
    batch = await parts.add_batch({"": 1})
    await parts.intake.on_batch_stopped(stopped(batch, "failure_threshold", 2), ENVELOPE)
    assert parts.state.batches[batch].stop_status is None
    await parts.stores.batches.finish({batch: 1})
    second = await parts.stores.batches.reopen(batch, 2, datetime.now(UTC))
    assert second
    assert second.stop_status == "cancelled"
    await parts.stores.batches.finish({batch: 2})
    third = await parts.stores.batches.reopen(batch, 3, datetime.now(UTC))
    await parts.intake.on_batch_stopped(stopped(batch, "failure_threshold", 2), ENVELOPE)
    assert third
    assert third.stop_status is None
