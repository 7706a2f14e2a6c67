"""Tests on real servers that outcomes become rows, counters, progress and one end."""

import asyncio
from uuid import uuid4

from batchyard_contracts import topology
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.flow import BatchSealed, ItemOutcome
from batchyard_contracts.v1.values import ItemError, Units
from devstack import Servers
from shared.messaging.publisher import OutgoingMessage, Publisher
from tests.support.ledger_messages import BATCH, START, accepted, processed, sealed, settled
from tests.support.patience import PATIENCE_S
from tests.support.running_aggregator import aggregator, at_work, neighbours


async def test_outcomes_become_rows_progress_and_one_end(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(5, name="Friday", labels={"team": "a\x00b"}))
        await around.until_row("SELECT 1 FROM batches WHERE owner = 'ann'")
        success = ItemOutcome(ordinal=0, status="succeeded", custom_id="c0", result={"text": "a\x00b"}, elapsed_ms=5)
        failure = ItemOutcome(ordinal=1, status="failed", error=ItemError(code="not_found", message="no\x00such"))
        await around.send(processed({0: success, 1: failure, 2: "retry"}, attempt=2))
        await around.until(lambda: around.all(BatchProgressed))
        progress = around.all(BatchProgressed)[0]
        assert (progress.counts.succeeded, progress.counts.failed, progress.counts.remaining) == (1, 1, 3)
        assert (progress.status, progress.routing_key()) == ("running", "batch.progressed.v1.noop.ann")
        assert progress.at > START

        await around.send(settled("duplicate", [3]), processed({2: "succeeded"}, attempt=3), settled("expired", [4]))
        (end,) = await around.finished()
        assert (end.result, end.name, end.labels, end.accepted_at) == ("partial", "Friday", {"team": "a\x00b"}, START)
        assert end.counts.model_dump(exclude_none=True) == {
            "total": 5,
            "succeeded": 2,
            "failed": 1,
            "cancelled": 0,
            "expired": 1,
            "duplicate": 1,
            "remaining": 0,
            "cached": 0,
        }
        rows = await around.rows("SELECT * FROM outcomes ORDER BY ordinal")
        assert [row["status"] for row in rows] == ["succeeded", "failed", "succeeded", "duplicate", "expired"]
        assert [row["attempts"] for row in rows] == [2, 2, 3, 0, 0]
        assert (rows[0]["custom_id"], rows[0]["result"], rows[0]["elapsed_ms"]) == ("c0", b'{"text":"a\\u0000b"}', 5)
        assert (rows[1]["error_code"], rows[1]["error_message"]) == ("not_found", "no such")


async def test_outcomes_that_arrive_before_the_header_count(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(processed({0: "succeeded", 1: "succeeded"}))
        await around.recorded()
        assert around.heard == []
        await around.send(accepted(None))
        await around.until(lambda: around.all(BatchProgressed))
        assert around.all(BatchProgressed)[0].status == "open"
        await around.send(sealed(2))
        (end,) = await around.finished()
        assert end.result == "completed"


async def test_repeated_messages_in_any_order_count_once(clean: Servers) -> None:
    async with at_work(clean) as around:
        parts = [processed(dict.fromkeys(range(start, start + 10), "succeeded")) for start in range(0, 100, 10)]
        late = processed(dict.fromkeys(range(100), "failed"), round_=2)
        await around.send(*parts[:5], late, *reversed(parts), accepted(100), accepted(100), *parts)
        (end,) = await around.finished()
        assert (end.counts.succeeded, end.counts.failed) == (100, 0)
        await around.send(*parts, accepted(100))
        await around.recorded()
        assert len(around.all(BatchFinished)) == 1
        assert await around.rows("SELECT count(*) FROM outcomes WHERE status = 'succeeded'") == [{"count": 100}]
        assert await around.rows("SELECT count(*) FROM outbox WHERE key LIKE '%' || $1", f"{BATCH}:1") == [{"count": 1}]


async def test_the_first_outcome_of_an_item_wins(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(processed({0: "succeeded"}), settled("cancelled", [0, 1]), accepted(2))
        (end,) = await around.finished()
        assert (end.counts.succeeded, end.counts.cancelled, end.result) == (1, 1, "cancelled")


async def test_units_count_once_however_often_they_are_reported(clean: Servers) -> None:
    async with at_work(clean) as around:
        parts = [processed({n: ItemOutcome(ordinal=n, status="succeeded", units=400)}) for n in range(3)]
        await around.send(parts[0], parts[0], accepted(None, unit="records"), parts[1], *parts)
        await around.send(BatchSealed(batch_id=BATCH, total=3, units=1300))
        (end,) = await around.finished()
        assert end.counts.units == Units(name="records", done=1200, total=1300)


async def test_two_aggregators_share_many_batches(clean: Servers) -> None:
    """Both aggregators lock the same batches, in messages that arrive in different orders."""
    ids = [uuid4() for _ in range(20)]
    async with aggregator(clean), at_work(clean) as around:
        await around.send(*(accepted(60, batch_id=batch_id) for batch_id in ids))
        for part in range(6):
            order = ids if part % 2 else list(reversed(ids))
            outcomes = dict.fromkeys(range(part * 10, part * 10 + 10), "succeeded")
            messages = [processed(outcomes, batch_id=batch_id) for batch_id in order]
            await around.send(*messages, *messages[:5])
        ends = await around.finished(20)
        assert {end.batch_id for end in ends} == set(ids)
        assert {(end.result, end.counts.succeeded) for end in ends} == {("completed", 60)}
        await around.recorded()
        assert len(around.all(BatchFinished)) == 20


async def test_progress_events_are_limited_to_50_a_second(clean: Servers) -> None:
    async with at_work(clean, aggregator_messages_per_transaction=1) as around:
        await around.send(accepted(None))
        loop = asyncio.get_running_loop()
        start = loop.time()
        for ordinal in range(150):
            await around.send(processed({ordinal: "succeeded"}))
        await around.until(lambda: around.all(BatchProgressed)[-1].counts.succeeded == 150)
        frames = around.all(BatchProgressed)
        assert len(frames) <= (loop.time() - start) * 50 + 2
        assert [frame.at for frame in frames] == sorted(frame.at for frame in frames)


async def test_an_invalid_report_becomes_a_dead_letter(clean: Servers) -> None:
    async with at_work(clean) as around:
        publisher = await Publisher.open(clean.amqp_url, "stranger")
        await publisher.publish(
            [
                OutgoingMessage(topology.FLOW, "chunk.processed.v1", "chunk.processed.v1", body)
                for body in (b"{", b'{"fence":1}')
            ]
        )
        async with publisher.connection.channel() as channel:
            dead = await channel.declare_queue(topology.AGGREGATOR_OUTCOMES.dead_name, passive=True)
            await around.send(accepted(1), processed({0: "succeeded"}))
            await around.finished()
            letters = [await dead.get(no_ack=True, timeout=10) for _ in range(2)]
        await publisher.close()
        assert all("Not a valid chunk.processed.v1" in str(letter.headers["x-batchyard-reason"]) for letter in letters)


async def test_the_aggregator_becomes_ready_after_its_first_sweep(clean: Servers) -> None:
    async with aggregator(clean, aggregator_outbox_interval_s=0.1) as runtime, neighbours(clean):
        async with asyncio.timeout(PATIENCE_S):
            while missing := runtime.health.missing():
                assert missing == ["outbox"]
                await asyncio.sleep(0.02)
        assert runtime.health.stuck() == []


async def test_a_small_batch_does_not_wait_until_a_large_one_is_settled(clean: Servers) -> None:
    pages, size, other = 60, 1000, uuid4()
    async with neighbours(clean) as around:
        await around.send(accepted(pages * size))
        large = [settled("cancelled", list(range(n * size, (n + 1) * size))) for n in range(pages)]
        await around.send_aside(*large)
        await around.send(accepted(1, batch_id=other), processed({0: "succeeded"}, batch_id=other))
        async with aggregator(clean):
            first, second = await around.finished(2)
    assert (first.batch_id, first.result) == (other, "completed")
    assert (second.batch_id, second.counts.cancelled) == (BATCH, pages * size)


async def test_many_small_batches_end_at_once_whoever_changed_them_before(clean: Servers) -> None:
    ids = [uuid4() for _ in range(90)]
    async with at_work(clean) as around:
        await around.send(*(accepted(2, batch_id=batch_id) for batch_id in ids))
        await around.until_row("SELECT 1 FROM batches HAVING count(*) = $1", len(ids))
        await around.execute(  # as another process does
            "UPDATE batches SET priority = 'low', version = version + 1 WHERE batch_id = ANY ($1)", ids[::9]
        )
        failed = {ids[4], ids[50]}
        for ordinal in range(2):
            outcome = {True: "failed", False: "succeeded"}
            await around.send(*(processed({ordinal: outcome[one in failed]}, batch_id=one) for one in ids))
        ends = {end.batch_id: end for end in await around.finished(len(ids))}
        assert {batch_id for batch_id, end in ends.items() if end.result == "failed"} == failed
        assert {batch_id for batch_id, end in ends.items() if end.priority == "low"} == set(ids[::9])
        assert {(end.counts.succeeded + end.counts.failed, end.counts.remaining) for end in ends.values()} == {(2, 0)}
        assert await around.rows("SELECT count(*) FROM outcomes") == [{"count": 2 * len(ids)}]
        assert len(around.all(BatchFinished)) == len(ids)
