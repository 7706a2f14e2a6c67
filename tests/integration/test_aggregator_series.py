"""Charts of a batch and of an owner come from the ledger, and go with the batch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.queries import SeriesQuery, SeriesReply
from devstack import Servers
from services.aggregator.domain.series import Sample, bucket_of
from services.aggregator.persistence.series_store import SeriesStore, start_of_step
from services.aggregator.settings import AggregatorSettings
from shared.postgres.pool import open_pool
from tests.support.ledger_messages import BATCH, START, accepted, at, processed
from tests.support.patience import until
from tests.support.running_aggregator import Neighbours, at_work


async def series(around: Neighbours, **fields: object) -> SeriesReply:
    return await around.query(SeriesQuery.model_validate({"owner": "ann"} | fields), SeriesReply)


@asynccontextmanager
async def series_store(servers: Servers) -> AsyncIterator[SeriesStore]:
    settings = AggregatorSettings(database_url=servers.database_url, amqp_url=servers.amqp_url)
    pool = await open_pool(settings, "aggregator", "services.aggregator.persistence")
    try:
        yield SeriesStore(pool)
    finally:
        await pool.close()


def total(reply: SeriesReply) -> float:
    return sum(point.succeeded + point.failed + point.other for point in reply.points) * reply.step_s


async def test_a_batch_has_points_with_rates_and_durations(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(100, accepted_at=datetime.now(UTC)))
        await around.until_row("SELECT 1 FROM batches WHERE owner = 'ann'")  # it counts for an owner that is known
        outcomes = {n: ItemOutcome(ordinal=n, status="succeeded", elapsed_ms=400) for n in range(40)}
        await around.send(processed({**outcomes, 40: "failed"}, partition="www.example.org"))
        reply = await until(lambda: series(around, batch_id=BATCH), lambda reply: reply.points)
        assert round(total(reply)) == 41
        busiest = max(reply.points, key=lambda point: point.succeeded)
        assert busiest.failed > 0
        assert busiest.p95_ms is not None
        assert 360 <= busiest.p95_ms <= 440
        (destination,) = reply.destinations
        assert destination.partition == "www.example.org"
        assert len(destination.p95_ms) == len(reply.points)
        assert destination.p95_ms[reply.points.index(busiest)] == busiest.p95_ms

        assert not (await series(around, owner="bob", batch_id=BATCH)).found
        assert not (await series(around, batch_id=uuid4())).found
        await around.execute("DELETE FROM batches")
        assert await around.rows("SELECT * FROM samples") == []


async def test_a_deleted_batch_gets_no_more_samples(clean: Servers) -> None:
    sample = Sample(START, at(2), 1, 0, 0, [1])
    async with series_store(clean) as store, at_work(clean) as around:
        await around.send(accepted(3), accepted(3, batch_id=uuid4()))
        await around.until_row("SELECT 1 WHERE (SELECT count(*) FROM batches) = 2")
        await around.execute("UPDATE batches SET deleted_at = now() WHERE batch_id = $1", BATCH)
        keys = {row["batch_id"]: row["id"] for row in await around.rows("SELECT batch_id, id FROM batches")}
        await store.save_batches([(key, sample) for key in keys.values()])
        (kept,) = await around.rows("SELECT batch FROM samples")
        assert kept["batch"] != keys[BATCH]


async def test_an_owner_has_points_and_all_owners_have_their_sum(clean: Servers) -> None:
    async with series_store(clean) as store, at_work(clean) as around:
        begin = start_of_step(datetime.now(UTC) - timedelta(minutes=5), timedelta(seconds=10))
        for _ in range(2):  # as two replicas do
            sample = Sample(begin, begin + timedelta(seconds=10), 30, 5, 1, [0] * bucket_of(100) + [7])
            await store.save_owners([("ann", sample), ("", sample)])
        await store.save_owners([("", Sample(begin, begin, 10, 0, 0, [3]))])
        reply = await series(around, points=300)
        assert (reply.step_s, round(total(reply))) == (12, 72)
        assert round(total(await series(around, owner=None, points=300))) == 82
        day = await series(around, since=begin - timedelta(days=1), points=24)
        assert abs(total(day) - 72) < 0.1
        assert round(total(await series(around, owner="bob"))) == 0

        await around.execute("UPDATE owner_samples SET from_at = from_at - interval '3 hours'")
        await store.delete_old()
        assert {row["step_s"] for row in await around.rows("SELECT step_s FROM owner_samples")} == {600}
        await around.execute("UPDATE owner_samples SET from_at = from_at - interval '9 days'")
        await store.delete_old()
        assert await around.rows("SELECT * FROM owner_samples") == []
