"""The dispatcher deletes what it stores of batches that have ended or never came, and nothing else."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from batchyard_contracts.v1.flow import DeletionCompleted, DeletionRequested
from devstack import Servers
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts, whole

TABLES = ("batches", "pages", "retries", "patched", "leases", "dropped", "steering", "terms")


@pytest.fixture
async def parts(clean: Servers) -> AsyncIterator[Parts]:
    async with dispatcher_parts(clean) as make:
        made = make()
        made.add_workload("w")
        yield made


async def fill(parts: Parts, batch_id: uuid.UUID) -> None:
    """Store a row of the batch in every table that may have one."""
    for statement in (
        "INSERT INTO retries (batch_id, ordinal, partition, attempt, due_at, item) VALUES ($1, 0, '', 1, now(), '')",
        "INSERT INTO patched (batch_id, ordinal, round, partition, item) VALUES ($1, 0, 1, '', '')",
        "INSERT INTO leases (chunk_id, fence, batch_id, workload, priority, partition, round, attempt, size) "
        "VALUES (gen_random_uuid(), 1, $1, 'w', 'normal', '', 1, 1, 1)",
        "INSERT INTO dropped (batch_id, ordinal, by_batch, by_ordinal) VALUES ($1, 0, $1, 0)",
        "INSERT INTO steering (batch_id, cancelled_at) VALUES ($1, now())",
        "INSERT INTO terms (batch_id, name, value, at) VALUES ($1, 'weight', '2', now())",
    ):
        await parts.pool.execute(statement, batch_id)


async def rows(parts: Parts, batch_id: uuid.UUID) -> dict[str, int]:
    return {
        table: await parts.pool.fetchval(f"SELECT count(*) FROM {table} WHERE batch_id = $1", batch_id)
        for table in TABLES
    }


async def request(parts: Parts, batch_id: uuid.UUID, kind: Any, round_: int = 1) -> None:
    message = DeletionRequested(batch_id=batch_id, owner="o", round=round_, kind=kind, at=datetime.now(UTC))
    await parts.components.batch_deletion.on_deletion_requested(message, ENVELOPE)


async def carry_out(parts: Parts) -> list[DeletionCompleted]:
    while await parts.components.batch_deletion.deletions.update() is not None:
        pass
    return [DeletionCompleted.decode(m.body) for m in parts.outbox.sent if m.type == DeletionCompleted.type]


@pytest.mark.parametrize("kind", ["payloads", "batch"])
async def test_a_batch_that_has_ended_is_deleted_from_every_table_and_no_other_is(parts: Parts, kind: Any) -> None:
    batch_id, other = [await parts.add_batch({"": 2, "b": 1}) for _ in range(2)]
    for one in (batch_id, other):
        await fill(parts, one)
    before = await rows(parts, other)
    await parts.finish(batch_id, 1)
    await request(parts, batch_id, kind)
    reported = await carry_out(parts)
    assert set((await rows(parts, batch_id)).values()) == {0}
    assert await rows(parts, other) == before
    assert list(parts.state.batches) == [other]
    if kind == "payloads":
        assert reported == []
    else:
        (completed,) = reported
        assert (completed.batch_id, completed.service) == (batch_id, "dispatcher")
        assert completed.deleted == {
            "pages": 2, "patched": 1, "leases": 1, "dropped": 1, "steering": 1, "terms": 1,
        }, "the retry went with the end of the round"  # fmt: skip


async def test_a_batch_that_was_deleted_before_its_end_was_heard_is_forgotten_and_does_not_come_back(
    parts: Parts,
) -> None:
    batch_id = await parts.add_batch({"": 2})
    await request(parts, batch_id, "batch")
    assert batch_id not in parts.state.batches
    await carry_out(parts)
    await parts.finish(batch_id, 1)
    await parts.pages(batch_id, {"": 2})  # replayed from the dead letters
    await parts.accept(batch_id)
    await parts.accept_whole(whole(batch_id, {"": 2}))
    assert batch_id not in parts.state.batches
    assert (await rows(parts, batch_id))["pages"] == 0


async def test_payloads_of_a_batch_that_runs_again_are_kept(parts: Parts) -> None:
    batch_id = await parts.add_batch({"": 2})
    await parts.finish(batch_id, 1)
    await parts.reopen(batch_id, 2, [0])
    before = await rows(parts, batch_id)
    await request(parts, batch_id, "payloads", round_=1)
    assert await carry_out(parts) == []
    assert await rows(parts, batch_id) == before
    assert batch_id in parts.state.batches


@pytest.mark.parametrize("kind", ["outcomes", "deliveries"])
async def test_a_kind_that_the_dispatcher_does_not_have_is_left_alone(parts: Parts, kind: Any) -> None:
    batch_id = await parts.add_batch({"": 2})
    before = await rows(parts, batch_id)
    await request(parts, batch_id, kind)
    await carry_out(parts)
    assert await rows(parts, batch_id) == before


async def test_a_retry_after_the_payloads_were_deleted_fails_its_items(parts: Parts) -> None:
    batch_id = await parts.add_batch({"": 2})
    await parts.finish(batch_id, 1)
    await request(parts, batch_id, "payloads")
    await parts.reopen(batch_id, 2, [0, 1])  # while the rows are being deleted
    assert {(status, ordinal) for status, ordinal, _ in parts.outbox.settled} == {("failed", 0), ("failed", 1)}
    await carry_out(parts)
    assert set((await rows(parts, batch_id)).values()) == {0}


async def clean_up(parts: Parts) -> None:
    while await parts.components.batch_deletion.clean_up() is not None:
        pass
    await carry_out(parts)


async def test_pages_whose_batch_never_came_are_kept_as_long_as_dead_letters(parts: Parts) -> None:
    held = await parts.add_batch({"": 2})
    young, old = uuid.uuid4(), uuid.uuid4()
    for batch_id in (young, old):
        await parts.pages(batch_id, {"": 2})
    await parts.pool.execute("UPDATE pages SET stored_at = now() - interval '29 days' WHERE batch_id = $1", young)
    await parts.pool.execute("UPDATE pages SET stored_at = now() - interval '31 days' WHERE batch_id <> $1", young)
    await clean_up(parts)
    assert [(await rows(parts, one))["pages"] for one in (held, young, old)] == [1, 1, 0]
    await parts.accept(young)  # its header is replayed after four weeks
    async with parts.dispatching():
        await parts.until(lambda: any(chunk.batch_id == young for chunk in parts.outbox.chunks))


async def test_pages_whose_batch_comes_at_the_last_moment_are_kept(parts: Parts) -> None:
    batch_id = uuid.uuid4()
    await parts.pages(batch_id, {"": 2})
    await parts.pool.execute("UPDATE pages SET stored_at = now() - interval '31 days'")
    await parts.components.batch_deletion.clean_up()
    assert await parts.count("deletions") == 1
    await parts.accept(batch_id)
    await carry_out(parts)
    assert (await rows(parts, batch_id))["pages"] == 1
    async with parts.dispatching():
        await parts.until(lambda: any(chunk.batch_id == batch_id for chunk in parts.outbox.chunks))


async def test_many_orphans_and_leftovers_are_found_lot_by_lot(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.dispatcher.intake.batch_deletion._BATCHES_AT_A_TIME", 7)
    await parts.add_batch({"": 2})
    long_ago = "now() - interval '31 days'"
    for statement in (
        "INSERT INTO pages (batch_id, page, segment, partition, size, items, stored_at) "
        f"SELECT gen_random_uuid(), 0, 0, '', 1, '', {long_ago} FROM generate_series(1, 30)",
        f"INSERT INTO steering (batch_id, stored_at) SELECT gen_random_uuid(), {long_ago} FROM generate_series(1, 9)",
        "INSERT INTO terms (batch_id, name, value, at) "
        f"SELECT gen_random_uuid(), 'weight', '2', {long_ago} FROM generate_series(1, 9)",
        f"INSERT INTO withdrawn (batch_id, at) SELECT gen_random_uuid(), {long_ago} FROM generate_series(1, 9)",
        "INSERT INTO claims (owner, workload, key, batch_id, ordinal, expires_at) "
        "SELECT 'o', 'w', n::text::bytea, gen_random_uuid(), 0, now() FROM generate_series(1, 9) AS n",
    ):
        await parts.pool.execute(statement)
    await clean_up(parts)
    tables = ("pages", "steering", "terms", "withdrawn", "claims")
    assert [await parts.count(table) for table in tables] == [1, 0, 0, 0, 0]
