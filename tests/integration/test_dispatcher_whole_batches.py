"""Batches that arrive with their items are saved many at a time, run once, and obey what overtakes them."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchyard_contracts.v1.flow import BatchAccepted, BatchWithdrawn, PageItem, Segment
from batchyard_contracts.v1.values import Dedup, Reuse, Terms
from devstack import Servers
from services.dispatcher.domain.accepted_batch import AcceptedBatch
from shared.messaging.batch_consumer import DecodedMessage
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts, header, once, whole


@pytest.fixture
async def parts(clean: Servers) -> AsyncIterator[Parts]:
    """A dispatcher with empty tables and a worker for the workload "w"."""
    async with dispatcher_parts(clean) as make:
        made = make()
        await made.pool.execute("TRUNCATE batches, steering, terms, withdrawn, pages, leases, retries, claims, dropped")
        made.add_workload("w", chunk_max=100)
        yield made


def sent(parts: Parts) -> list[tuple[uuid.UUID, int]]:
    """Return the items of all chunks: batch and ordinal."""
    return sorted((chunk.batch_id, item.ordinal) for chunk in parts.outbox.chunks for item in chunk.items)


async def test_many_batches_are_saved_in_two_statements_and_run_without_reading_their_pages(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted(uuid.uuid4() for _ in range(50))
    parts.state.workload_queue("w").window.workers = 1000
    statements: list[str] = []
    for name in ("fetch", "execute", "fetchrow", "fetchval"):
        run = getattr(parts.pool, name)

        async def counted(query: str, *arguments: Any, run: Any = run) -> Any:
            statements.append(query)
            return await run(query, *arguments)

        monkeypatch.setattr(parts.pool, name, counted)
    await parts.accept_whole(*(whole(x, {"a": 2, "b": 1}, terms=Terms(weight=2)) for x in ids))
    assert len(statements) == 2, "the terms, and all else"
    assert {parts.state.batches[x].terms.weight for x in ids} == {2}
    async with parts.dispatching():
        await parts.until(lambda: len(sent(parts)) == 150)
    assert sent(parts) == [(x, ordinal) for x in ids for ordinal in range(3)]
    assert not any("FROM pages" in query for query in statements)


@pytest.mark.parametrize("first", [True, False])
async def test_a_group_whose_saving_was_not_confirmed_runs_once(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    messages = [whole(uuid.uuid4(), {"": 2}) for _ in range(3)]
    store = parts.stores.batches
    monkeypatch.setattr(store, "save_whole_batches", once(store.save_whole_batches, first=first))
    with pytest.raises(Exception, match="connection was closed"):
        await parts.accept_whole(*messages)
    await parts.accept_whole(*messages)
    async with parts.dispatching():
        await parts.until(lambda: len(sent(parts)) == 6)
        await parts.accept_whole(*messages, *messages[:1])
        await parts.accept_whole(more := whole(uuid.uuid4(), {"": 1}))
        await parts.until(lambda: (more.batch_id, 0) in sent(parts))
    assert len(sent(parts)) == 7


async def test_a_batch_whose_header_came_alone_before_gets_its_items(parts: Parts) -> None:
    batch_id = uuid.uuid4()
    await parts.intake.on_batch_accepted(header(batch_id).model_copy(update={"total": 3}), ENVELOPE)
    async with parts.dispatching():
        await parts.accept_whole(whole(batch_id, {"": 3}))
        await parts.until(lambda: len(sent(parts)) == 3)
        await parts.intake.on_batch_accepted(header(batch_id).model_copy(update={"total": 3}), ENVELOPE)
    assert len(sent(parts)) == 3


async def test_a_cancel_that_overtakes_its_batch_wins(parts: Parts) -> None:
    cancelled, other = uuid.uuid4(), uuid.uuid4()
    await parts.control(cancelled, "cancel")
    async with parts.dispatching():
        await parts.accept_whole(whole(cancelled, {"": 2}), whole(other, {"": 1}))
        await parts.until(lambda: bool(sent(parts)))
    assert sent(parts) == [(other, 0)]
    assert parts.outbox.settled == [("cancelled", 0, None), ("cancelled", 1, None)]


async def test_a_pause_and_a_change_that_overtake_their_batch_hold(parts: Parts) -> None:
    batch_id, later = uuid.uuid4(), datetime.now(UTC) + timedelta(minutes=1)
    await parts.control(batch_id, "pause", later)
    await parts.control(batch_id, "change", later, priority="low", terms=Terms(weight=7))
    await parts.accept_whole(whole(batch_id, {"": 2}, terms=Terms(weight=3, concurrency=1)))
    batch = parts.state.batches[batch_id]
    assert (batch.paused, batch.priority, batch.terms) == (True, "low", Terms(weight=7, concurrency=1))


async def test_a_withdrawn_batch_never_runs(parts: Parts) -> None:
    withdrawn, other = uuid.uuid4(), uuid.uuid4()
    await parts.intake.on_batch_withdrawn(BatchWithdrawn(batch_id=withdrawn), ENVELOPE)
    async with parts.dispatching():
        await parts.accept_whole(whole(withdrawn, {"": 2}), whole(other, {"": 1}))
        await parts.until(lambda: bool(sent(parts)))
    assert sent(parts) == [(other, 0)]
    assert await parts.count(f"pages WHERE batch_id = '{withdrawn}'") == 0


async def test_a_batch_that_ended_is_not_run_again(parts: Parts) -> None:
    ended, other = whole(uuid.uuid4(), {"": 2}), whole(uuid.uuid4(), {"": 1})
    await parts.accept_whole(ended)
    await parts.finish(ended.batch_id, 1)
    async with parts.dispatching():
        await parts.accept_whole(ended, other)
        await parts.until(lambda: bool(sent(parts)))
    assert sent(parts) == [(other.batch_id, 0)]


async def test_a_batch_and_its_end_in_one_group_leave_nothing_in_memory(parts: Parts) -> None:
    batch = whole(uuid.uuid4(), {"": 2})
    await parts.accept_whole(batch)
    ends = [DecodedMessage(parts.finished(batch.batch_id, round_), ENVELOPE) for round_ in (1, 2, 1)]
    late = DecodedMessage(AcceptedBatch.decode(batch.encode()), ENVELOPE)
    await parts.intake.on_batches([*ends, late])
    assert parts.state.batches == {}
    assert await parts.count("batches WHERE finished_at IS NULL") == 0


async def test_items_claim_their_keys_before_they_run(parts: Parts) -> None:
    first, second = (_keyed("0" * 32, mode="reject") for _ in range(2))
    async with parts.dispatching():
        await parts.accept_whole(first)
        await parts.until(lambda: bool(sent(parts)))
        await parts.accept_whole(second, other := whole(uuid.uuid4(), {"": 1}))
        await parts.until(lambda: (other.batch_id, 0) in sent(parts))
    assert sent(parts) == sorted([(first.batch_id, 0), (other.batch_id, 0)])
    assert ("duplicate", 0, None) in parts.outbox.settled


def test_items_keep_the_text_in_which_they_arrived() -> None:
    batch_id = uuid.uuid4()
    body = (
        whole(batch_id, {"": 1}).encode().replace(b'"payload":{}', b'"payload":{"n":1.50, "m":123456789012345678901}')
    )
    assert AcceptedBatch.decode(body).page.segments[0].lines == [
        b'{"ordinal":0,"payload":{"n":1.50, "m":123456789012345678901}}'
    ]
    odd = body.replace(b'{"ordinal":0,', b'{ "ordinal" : 0,\n')
    assert AcceptedBatch.decode(odd).page.segments[0].lines == [
        b'{"ordinal":0,"payload":{"n":1.5,"m":123456789012345678901}}'
    ]


def _keyed(key: str, mode: str) -> BatchAccepted:
    batch = whole(uuid.uuid4(), {"": 1}, reuse=Reuse(dedup=Dedup.model_validate({"mode": mode})))
    segments = [Segment(partition="", items=[PageItem(ordinal=0, payload={}, key=key)])]
    return batch.model_copy(update={"segments": segments})
