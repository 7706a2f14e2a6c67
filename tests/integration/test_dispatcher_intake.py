"""Batches, pages and controls are neither lost nor applied twice if a server fails or messages change their order."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from aio_pika.exceptions import DeliveryError
from pamqp.commands import Basic

from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import ItemOutcome, ItemsReopened, ItemsSettled, WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import Counts
from devstack import Servers
from services.dispatcher.dispatching import undeliverable
from services.dispatcher.settlement.external_cancel import ExternalCancel
from services.dispatcher.settlement.settler import ItemSettler
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.runtime.errors import PublishFailed
from shared.runtime.transient import retry_transient
from tests.support.dispatcher_parts import ENVELOPE, Parts, again, dispatcher_parts, once


@pytest.fixture
async def parts(clean: Servers) -> AsyncIterator[Parts]:
    """A dispatcher with empty tables and a worker for the workload "w"."""
    async with dispatcher_parts(clean) as make:
        made = make()
        made.add_workload("w", chunk_max=100)
        yield made


def _ordinals(parts: Parts) -> list[int]:
    return sorted(item.ordinal for chunk in parts.outbox.chunks for item in chunk.items)


def _finished(batch_id: uuid.UUID, round_: int) -> BatchFinished:
    now = datetime.now(UTC)
    return BatchFinished(
        batch_id=batch_id,
        workload="w",
        owner="o",
        round=round_,
        result="failed",
        counts=Counts(),
        accepted_at=now,
        finished_at=now,
    )


async def test_a_header_is_handled_again_after_its_pages_could_not_be_read(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = uuid.uuid4()
    await parts.pages(batch, {"": 3})
    monkeypatch.setattr(parts.stores.pages, "waiting_slices", once(parts.stores.pages.waiting_slices, first=False))
    await retry_transient(lambda: parts.accept(batch), "header")
    async with parts.dispatching():
        await parts.until(lambda: _ordinals(parts) == [0, 1, 2])


async def test_a_page_whose_saving_was_not_confirmed_is_dispatched_once(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = uuid.uuid4()
    await parts.accept(batch)
    monkeypatch.setattr(parts.stores.pages, "save_pages", once(parts.stores.pages.save_pages, first=True))
    await retry_transient(lambda: parts.pages(batch, {"": 3}), "page")
    await parts.pages(batch, {"": 3})
    async with parts.dispatching():
        await parts.until(lambda: bool(_ordinals(parts)))
        await parts.pages(batch, {"": 3})
        await parts.pages(batch, {"": 1}, page=1)
        await parts.until(lambda: 1000 in _ordinals(parts))
    assert _ordinals(parts) == [0, 1, 2, 1000]


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_cancel_before_its_header_is_kept(parts: Parts, at_once: bool) -> None:
    batch = uuid.uuid4()
    await parts.pages(batch, {"": 3})
    if at_once:
        await asyncio.gather(parts.accept(batch), parts.control(batch, "cancel"))
    else:
        await parts.control(batch, "cancel")
        await parts.accept(batch)
    assert parts.state.batches[batch].cancelled
    assert {settled[:2] for settled in parts.outbox.settled} == {("cancelled", o) for o in range(3)}
    await parts.pages(batch, {"": 1}, page=1)
    assert ("cancelled", 1000, None) in parts.outbox.settled


async def test_controls_of_different_kinds_do_not_undo_each_other(parts: Parts) -> None:
    batch, now = await parts.add_batch({"": 3}), datetime.now(UTC)
    known = parts.state.batches[batch]
    await asyncio.gather(parts.control(batch, "pause", now), parts.control(batch, "change", now, priority="low"))
    assert (known.paused, known.priority) == (True, "low")
    await parts.control(batch, "resume", now - timedelta(seconds=1))
    assert known.paused
    await parts.control(batch, "cancel", now - timedelta(seconds=3))
    assert known.stop_status == "cancelled"
    assert len(parts.outbox.settled) == 3
    kept = await parts.stores.batches.live_batch(batch)
    assert kept
    assert (kept.stop_status, kept.priority) == ("cancelled", "low")


async def test_a_cancel_settles_many_retries_in_groups_and_may_run_twice_at_once(parts: Parts) -> None:
    batch = await parts.add_batch({"": 1})
    count = 12_001
    for start in range(0, count, 4000):
        await parts.add_retries(batch, range(start, min(count, start + 4000)))
    header = parts.state.batches[batch]
    await asyncio.gather(*(parts.settler.settle_waiting(header, "cancelled") for _ in range(2)))
    assert {o for _, o, _ in parts.outbox.settled} == set(range(count))
    assert await parts.count("retries") == 0
    await parts.add_retries(batch, [5])
    await parts.control(batch, "cancel")
    assert await parts.count("retries") == 0


async def test_a_cancel_publishes_on_the_slow_path_no_faster_than_the_aggregator_reads(parts: Parts) -> None:
    batch, sent = uuid.uuid4(), list[int]()

    async def room() -> None:
        sent.append(len(parts.outbox.settled))

    for page in range(7):
        await parts.pages(batch, {"a": 300, "b": 300}, page=page)
    await parts.accept(batch)
    header = parts.state.batches[batch]
    publisher = cast("Publisher", parts.outbox)
    settlement = ItemSettler(parts.stores, publisher, ExternalCancel(parts.state, publisher), room)
    await settlement.settle_waiting(header, "cancelled")
    assert sent == [0, 3000]
    settled = [m for m in parts.outbox.sent if m.type == ItemsSettled.type]
    assert {m.routing_key for m in settled} == {"aside.items.settled.v1"}
    assert max(len(ItemsSettled.decode(m.body).items) for m in settled) == 1000
    assert len(parts.outbox.settled) == 4200


async def test_retries_of_large_items_are_read_in_small_groups(parts: Parts) -> None:
    batch = await parts.add_batch({"": 1})
    await parts.add_retries(batch, range(10))
    await parts.pool.execute("UPDATE retries SET item = item || repeat(' ', 1500000)::bytea")
    assert len(await parts.stores.retries.waiting_retries(batch, 1, -1)) == 3
    await parts.settler.settle_waiting(parts.state.batches[batch], "cancelled")
    assert await parts.count("retries") == 0


async def test_retries_that_may_not_run_do_not_keep_others_from_being_loaded(parts: Parts) -> None:
    paused, idle = await parts.add_batch({"": 1}), await parts.add_batch({"": 1}, "nobody")
    await parts.add_retries(paused, range(1, 700))
    await parts.add_retries(idle, range(1, 700))
    parts.state.workload_queue("w").window.workers = 1
    await parts.dispatch_loop._load_retries()
    assert len(parts.state.loaded_retries) == 500
    await parts.control(paused, "pause")
    mine = await parts.add_batch({"": 1})
    await parts.add_retries(mine, [7])
    async with parts.dispatching():
        await parts.until(lambda: mine in {c.batch_id for c in parts.outbox.chunks if c.attempt == 2})
    assert idle not in {c.batch_id for c in parts.outbox.chunks}


async def test_a_cancelled_batch_loads_no_retries(parts: Parts) -> None:
    batch = await parts.add_batch({"": 1})
    await parts.control(batch, "cancel")
    await parts.add_retries(batch, [0])
    await parts.dispatch_loop._load_retries()
    assert not parts.state.loaded_retries


async def test_reopened_items_of_a_deleted_batch_fail(parts: Parts) -> None:
    await parts.intake.on_items_reopened(ItemsReopened(batch_id=uuid.uuid4(), round=2, ordinals=[0, 1]), ENVELOPE)
    assert parts.outbox.settled == [("failed", 0, "item_deleted"), ("failed", 1, "item_deleted")]


async def test_a_redelivered_reopening_of_a_finished_round_changes_nothing(parts: Parts) -> None:
    batch = await parts.add_batch({"": 1})
    await parts.intake.on_batch_finished(_finished(batch, 1), ENVELOPE)
    reopened = ItemsReopened(batch_id=batch, round=2, ordinals=[0])
    await parts.intake.on_items_reopened(reopened, ENVELOPE)
    assert parts.state.batches[batch].round == 2
    await parts.intake.on_batch_finished(_finished(batch, 2), ENVELOPE)
    await parts.intake.on_items_reopened(reopened, ENVELOPE)
    assert not parts.state.batches
    assert await parts.stores.batches.live_batches() == []
    assert parts.outbox.settled == []


async def test_the_cancel_of_a_round_does_not_apply_to_the_next(parts: Parts) -> None:
    batch = await parts.add_batch({"": 1})
    await parts.control(batch, "cancel")
    await parts.intake.on_batch_finished(_finished(batch, 1), ENVELOPE)
    await parts.intake.on_items_reopened(ItemsReopened(batch_id=batch, round=2, ordinals=[0]), ENVELOPE)
    assert not parts.state.batches[batch].cancelled
    async with parts.dispatching():
        await parts.until(lambda: [c.round for c in parts.outbox.chunks] == [2])


async def test_a_new_round_follows_the_controls_sent_after_its_retry_request(parts: Parts) -> None:
    batch, now = await parts.add_batch({"": 1}), datetime.now(UTC)
    await parts.intake.on_batch_finished(_finished(batch, 1), ENVELOPE)
    asked_at = now + timedelta(seconds=1)
    await parts.control(batch, "pause", now)
    await parts.control(batch, "cancel", asked_at + timedelta(seconds=1))  # before the round is open here
    await parts.intake.on_items_reopened(
        ItemsReopened(batch_id=batch, round=2, ordinals=[0], requested_at=asked_at), ENVELOPE
    )
    await parts.batch_stopper.drain()
    assert (parts.state.batches[batch].stop_status, parts.state.batches[batch].paused) == ("cancelled", False)
    assert {ItemsSettled.decode(m.body).round for m in parts.outbox.sent if m.type == ItemsSettled.type} == {2}


async def test_a_report_after_a_cancel_leaves_neither_retries_nor_leases(parts: Parts) -> None:
    batch = await parts.add_batch({"": 2})
    async with parts.dispatching():
        await parts.until(lambda: bool(parts.outbox.chunks))
    (chunk,) = parts.outbox.chunks
    await parts.control(batch, "cancel")
    await parts.report(chunk, [again(0), ItemOutcome(ordinal=1, status="succeeded", result={})])
    assert parts.outbox.settled == [("cancelled", 0, None)]
    assert [await parts.count(table) for table in ("retries", "leases")] == [0, 0]


def refuse_chunks(parts: Parts, workload: str) -> None:
    """Have the queue of a workload refuse its chunks."""

    def refuse(messages: Sequence[OutgoingMessage]) -> None:
        if any(m.routing_key.startswith(f"work.{workload}.") for m in messages):
            raise PublishFailed("full") from DeliveryError(None, Basic.Nack())

    parts.outbox.refuse = refuse


def accept_chunks(parts: Parts) -> None:
    """Have all queues accept chunks."""
    parts.outbox.refuse = lambda _: None


async def test_a_queue_that_refuses_chunks_delays_only_its_own_workload(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undeliverable, "_PAUSE_S", 0.3)
    refuse_chunks(parts, "full")
    parts.add_workload("full")
    stopped = await parts.add_batch({"": 1}, "full")
    async with parts.dispatching():
        await parts.until(lambda: bool(parts.state.leases))
        free = await parts.add_batch({"": 1})
        await parts.until(lambda: [c.batch_id for c in parts.outbox.chunks] == [free])
        accept_chunks(parts)
        await parts.until(lambda: [(c.batch_id, c.fence) for c in parts.outbox.chunks] == [(free, 1), (stopped, 1)])


async def test_a_chunk_that_waits_for_its_queue_is_not_sent_once_its_round_is_over(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undeliverable, "_PAUSE_S", 0.3)
    refuse_chunks(parts, "full")
    parts.add_workload("full")
    batch = await parts.add_batch({"": 1}, "full")
    async with parts.dispatching():
        await parts.until(lambda: parts.components.undeliverable.is_waiting("full"))
        await parts.finish(batch, 1)
        await parts.reopen(batch, 2, [0])
        accept_chunks(parts)
        await parts.until(lambda: [c.round for c in parts.outbox.chunks] == [2])
    assert ([x.round for x in parts.state.leases.values()], await parts.count("leases")) == ([2], 1)


async def test_an_item_too_large_for_a_message_fails_alone(parts: Parts) -> None:
    batch = await parts.add_batch({"a": 1, "b": 1})
    await parts.pool.execute("UPDATE pages SET items = items || repeat(' ', 5000000)::bytea WHERE partition = 'a'")
    parts.components.pages._cache.clear()
    async with parts.dispatching():
        await parts.until(lambda: bool(parts.outbox.settled) and len(parts.state.leases) == 1)
    assert parts.outbox.settled == [("failed", 0, "item_too_large")]
    assert [(c.batch_id, c.partition) for c in parts.outbox.chunks] == [(batch, "b")]
    assert await parts.count("leases") == 1


async def test_the_manifest_that_arrives_last_holds_whatever_the_clock_of_its_worker(parts: Parts) -> None:
    def announced(version: str, days: float) -> WorkerAnnounced:
        manifest = Manifest(name="w", version=version, item_schema={}, result_schema={})
        at = datetime.now(UTC) + timedelta(days=days)
        return WorkerAnnounced(worker_id=version, manifests=[manifest], started_at=at)

    async def versions() -> tuple[str, str]:
        (stored,) = await parts.stores.batches.manifests()
        return parts.state.workload_queue("w").window.manifest.version, stored.version

    workers = parts.components.worker_registry
    await workers.on_worker_announced(announced("2", days=1), ENVELOPE)
    await workers.on_worker_announced(announced("1", days=0), ENVELOPE)
    assert await versions() == ("1", "1")
    await workers.on_worker_announced(announced("0", days=-1), replace(ENVELOPE, redelivered=True))
    assert await versions() == ("1", "1")
