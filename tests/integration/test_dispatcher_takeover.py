"""Recovery of the recorded chunks of a dispatcher that died, by the next process."""

import asyncio
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import asyncpg
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts import topology
from batchyard_contracts.v1.work import ChunkReady
from devstack import Program, Servers, Supervisor, free_ports
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.page import Page
from services.dispatcher.domain.scheduling.partition_queue import PageRange
from services.dispatcher.leadership import epoch
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.settings import DispatcherSettings
from shared.postgres.migrations import migrate
from tests.support.dispatcher_parts import header, page_of
from tests.support.hand_worker import HandWorker, hand_worker
from tests.support.patience import PATIENCE_S, until, until_true

_LEASE_S = 600.0
"""Seconds; longer than any test takes, so that no lease expires."""
_SENT, _HELD, _REPORTED, _UNSENT, _RESENT = range(5)
"""State of each of five chunks with one item."""


async def _die(servers: Servers, worker: HandWorker) -> dict[int, Lease]:
    """Be active, put five chunks of a batch on record, and die before more than the first of them is sent."""
    settings = DispatcherSettings(database_url=servers.database_url)
    await migrate(settings, "dispatcher", "services.dispatcher.persistence")
    batch_id, workload = uuid.uuid4(), worker.manifest.name
    connection = await epoch.connect(settings)
    try:
        begun = await epoch.begin(connection)
        assert begun
        async with epoch.open_epoch_pool(settings, begun.number) as pool:
            stores = Stores.on(pool)
            await stores.batches.save_batch(header(batch_id, workload), None)
            await stores.pages.save_pages([Page.of(page_of(batch_id, {"": 8}, workload=workload))])
            leases = {
                n: Lease(uuid.uuid4(), 1, batch_id, workload, "normal", "", 1, 1, PageRange(0, 0, n, 1), 0.0, 0.0)
                for n in range(5)
            }
            await stores.leases.save_leases(list(leases.values()), [batch_id])
            await stores.leases.save_resent([leases[_RESENT]])
    finally:
        await connection.close()
    return leases


def _chunk(lease: Lease) -> ChunkReady:
    assert isinstance(lease.source, PageRange)
    fields = {"chunk_id": lease.chunk_id, "fence": 1, "batch_id": lease.batch_id, "owner": "o", "round": 1}
    place = {"workload": lease.workload, "priority": "normal", "partition": "", "attempt": 1}
    item = {"ordinal": lease.source.first, "payload": {}}
    return ChunkReady.model_validate(fields | place | {"items": [item]})


@asynccontextmanager
async def _dispatcher(servers: Servers) -> AsyncIterator[None]:
    """Run the next dispatcher, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        supervisor = Supervisor(Path(folder), print)
        try:
            (port,) = free_ports(1)
            settings = {"BATCHYARD_LEASE_S": str(_LEASE_S), "BATCHYARD_HEALTH_PORT": str(port)}
            command = (sys.executable, "-m", "services.dispatcher")
            environment = {**servers.environment(), **settings}
            await supervisor.start(Program("dispatcher", command, environment, f"http://127.0.0.1:{port}/readyz"))
            yield
        finally:
            await supervisor.stop()


def _check_resent(leases: dict[int, Lease], chunks: Iterable[ChunkReady]) -> None:
    found = {chunk.items[0].ordinal: chunk for chunk in chunks}
    unsent, resent = found[_UNSENT], found[_RESENT]
    assert (unsent.chunk_id, unsent.fence) == (leases[_UNSENT].chunk_id, 1)
    assert (resent.chunk_id, resent.fence) == (leases[_RESENT].chunk_id, 2), "only the first time is free"


async def test_recorded_but_unsent_chunks_are_sent_after_a_heartbeat_of_every_worker(
    clean: Servers, record_property: Callable[[str, object], None]
) -> None:
    async with hand_worker(clean.amqp_url, concurrency=20, chunk_max=1) as worker:
        leases = await _die(clean, worker)
        worker.holding |= {leases[_SENT].chunk_id, leases[_HELD].chunk_id}
        await worker.report(_chunk(leases[_REPORTED]))
        async with _dispatcher(clean):
            begun = time.monotonic()
            chunks = await worker.take_items(5)
            record_property("found_s", round(time.monotonic() - begun, 2))
            assert sorted(chunk.items[0].ordinal for chunk in chunks) == [_UNSENT, _RESENT, 5, 6, 7]
            _check_resent(leases, chunks)
            for chunk in (_chunk(leases[_SENT]), _chunk(leases[_HELD]), *chunks):
                await worker.report(chunk)
            await _until_none_is_out(clean)
            assert worker.idle, "something came twice"


async def test_a_chunk_whose_report_a_frozen_dispatcher_has_is_not_sent_again(clean: Servers) -> None:
    async with (
        hand_worker(clean.amqp_url, concurrency=20, chunk_max=1) as worker,
        await aio_pika.connect(clean.amqp_url) as frozen,
    ):
        received = asyncio.Event()
        outcomes = await (await frozen.channel()).get_queue(topology.DISPATCHER_OUTCOMES.name)

        async def receive(_: AbstractIncomingMessage) -> None:
            received.set()

        await outcomes.consume(receive)
        leases = await _die(clean, worker)
        worker.holding |= {leases[_SENT].chunk_id, leases[_HELD].chunk_id}
        await worker.report(_chunk(leases[_REPORTED]))
        await asyncio.wait_for(received.wait(), PATIENCE_S)
        async with _dispatcher(clean):
            new = await worker.take_items(3)
            beats = worker.beats
            # Many more than it takes to find what was not sent.
            await until_true(lambda: worker.beats >= beats + 8)
            assert worker.idle
            assert sorted(chunk.items[0].ordinal for chunk in new) == [5, 6, 7]
            await frozen.close()
            chunks = await worker.take_items(2)
            _check_resent(leases, chunks)
            for chunk in (_chunk(leases[_SENT]), _chunk(leases[_HELD]), *new, *chunks):
                await worker.report(chunk)
            await _until_none_is_out(clean)
            assert worker.idle, "something came twice"


async def _until_none_is_out(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.database_url)
    try:
        await until(lambda: connection.fetch("SELECT 1 FROM dispatcher.leases"), lambda rows: not rows)
    finally:
        await connection.close()
