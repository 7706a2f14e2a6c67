"""Measures what a running batch pays for the outcomes of ended ones, and what their deletion costs: `history.json`.

The ledger records, reads and deletes as in the service, in a database of its own; only the history is made by SQL.
"""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from rich.console import Console

from batchyard_contracts.v1.queries import ResultsQuery
from benchmarks import machine
from benchmarks.bench_servers import BenchServers
from benchmarks.report import conclude, number
from benchmarks.summary import Summary
from services.aggregator.app import SESSION
from services.aggregator.domain.outcome_rows import Row
from services.aggregator.persistence.deletion_store import plans
from services.aggregator.persistence.store import LedgerStore
from services.aggregator.settings import AggregatorSettings
from shared.postgres.deletions import Deletion, Deletions
from shared.postgres.pool import Pool, open_pool

ROWS, BATCH_ROWS = 20_000_000, 10_000
"""Outcomes of the history, and those of each of its batches."""
_LOT = 1_000_000
_TRANSACTIONS, _ROWS_OF_ONE = 200, 1000
_RESULT = b'{"n": 123456, "title": "a result of sixty bytes or so"}'
_FILL = """
WITH made AS (
    INSERT INTO batches (batch_id, owner, workload, status, total, succeeded, result, finished_at, accepted_at)
    SELECT gen_random_uuid(), 'bench', 'noop', 'finished', $2::int, $2::int, 'completed', now(), now()
    FROM generate_series(1, $1::int / $2::int) RETURNING id
), ordered AS (
    INSERT INTO completions (batch, version, round, ordinals)
    SELECT id, part, 1, array_agg(ordinal) FROM made CROSS JOIN generate_series(0, $2::int - 1) AS ordinal
        CROSS JOIN LATERAL (SELECT ordinal / 1000 AS part) AS parts
    GROUP BY id, part
)
INSERT INTO outcomes (batch, ordinal, round, attempts, elapsed_ms, cached, status, result)
SELECT id, ordinal, 1, 1, 5, false, 'succeeded', $3::bytea
FROM made CROSS JOIN generate_series(0, $2::int - 1) AS ordinal
"""


async def history(bench: BenchServers, console: Console, rows: int) -> dict[str, Any]:
    """Measure without a history and with one, and write."""
    document: dict[str, Any] = {"machine": await machine.described(bench.servers), "rows": rows}
    async with AsyncExitStack() as stack:
        servers = await bench.create_isolated("history")
        settings = AggregatorSettings(amqp_url=servers.amqp_url, database_url=servers.database_url)
        pool = await open_pool(settings, "aggregator", "services.aggregator.persistence", SESSION)
        stack.push_async_callback(pool.close)
        store = LedgerStore(pool)
        document["without"] = await _running_batch(store)
        console.print(f"Without a history: {_words(document['without'])}")
        began = time.monotonic()
        for _ in range(rows // _LOT):
            await pool.execute(_FILL, _LOT, BATCH_ROWS, _RESULT)
        await pool.execute("VACUUM ANALYZE outcomes")
        document["fill_s"] = round(time.monotonic() - began, 1)
        document["mb"] = round(await pool.fetchval(_SIZE) / 1e6)
        console.print(f"{rows} outcomes: {document['mb']} MB, made in {document['fill_s']} s")
        document["with"] = await _running_batch(store)
        console.print(f"With them: {_words(document['with'])}")
        document["delete"] = await _deletion(pool, _LOT)
        console.print(f"Deleted in lots: {number(document['delete']['rows_per_s'])} rows/s")
        document["while_deleting"] = await _running_batch(store)
        document["drop_s"] = await _drop(pool, _LOT)
        console.print(f"A partition of as many rows dropped in {document['drop_s'] * 1000:.0f} ms")
    conclude(console, "history", document)
    return document


_SIZE = """SELECT pg_total_relation_size('outcomes') + pg_total_relation_size('completions')
    + pg_total_relation_size('batches')"""


async def _running_batch(store: LedgerStore) -> dict[str, Any]:
    """Record the outcomes of a batch, and read pages of them as it goes."""
    batch_id = uuid4()
    record: list[float] = []
    read: list[float] = []
    for place in range(_TRANSACTIONS):
        began = time.perf_counter()
        async with store.lock([batch_id]) as transaction:
            batch = transaction.batches[batch_id]
            await transaction.insert_outcomes(_rows(batch.key, place * _ROWS_OF_ONE))
            await transaction.save([batch])
        record.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        query = ResultsQuery(owner="bench", batch_id=batch_id, after=place * _ROWS_OF_ONE - 1)
        found = await store.results(batch.key, query, _ROWS_OF_ONE, 1_500_000)
        read.append((time.perf_counter() - began) * 1000)
        assert len(found) == _ROWS_OF_ONE
    return {"record_ms": Summary.of(record).document(), "read_ms": Summary.of(read).document()}


def _rows(key: int, first: int) -> Sequence[Row]:
    nothing = (None,) * 4
    return [
        (key, first + n, 1, 1, 5, None, False, "succeeded", *nothing, _RESULT, None, None, None)
        for n in range(_ROWS_OF_ONE)
    ]


async def _deletion(pool: Pool, rows: int) -> dict[str, Any]:
    """Delete the oldest batches of the history in lots, without the pauses between these."""

    async def ignore(_: Deletion) -> None:
        """Report to nobody."""

    keys: list[UUID] = [
        row["batch_id"]
        for row in await pool.fetch(
            "SELECT batch_id FROM batches WHERE owner = 'bench' ORDER BY id LIMIT $1", rows // BATCH_ROWS
        )
    ]
    deletions = Deletions(pool, plans(None), ignore)
    await deletions.request(keys, "outcomes")
    lots: list[float] = []
    began = time.monotonic()
    while (pause := await deletions.update()) is not None:
        lots.append(pause * 1000)
    took_s = time.monotonic() - began
    return {"rows_per_s": round(rows / took_s), "lot_ms": Summary.of(lots).document()}


async def _drop(pool: Pool, rows: int) -> float:
    """Return the seconds that dropping a table of outcomes takes, as one partition would be."""
    await pool.execute("CREATE TABLE part (LIKE outcomes INCLUDING ALL)")
    await pool.execute(f"INSERT INTO part SELECT * FROM outcomes ORDER BY batch DESC, ordinal LIMIT {rows}")
    began = time.monotonic()
    await pool.execute("DROP TABLE part")
    return round(time.monotonic() - began, 4)


def _words(figures: dict[str, Any]) -> str:
    record, read = figures["record_ms"], figures["read_ms"]
    return (
        f"{_ROWS_OF_ONE} outcomes recorded in {number(record['median'])} ms (p99 {number(record['p99'])}), "
        f"read in {number(read['median'])} ms (p99 {number(read['p99'])}), at {datetime.now(UTC):%H:%M}"
    )
