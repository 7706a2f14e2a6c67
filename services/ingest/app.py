"""The composition root: connects ingest's parts to each other and to the three servers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

from batchyard_contracts import topology
from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.commands import BatchAppend, BatchControl, BatchSeal, BatchSubmit, CacheInvalidate
from batchyard_contracts.v1.flow import SourceEnded, SourceExpanded, WorkerAnnounced
from services.ingest.api.amqp import Handlers
from services.ingest.api.service import Door
from services.ingest.control.cache_invalidation import Invalidation
from services.ingest.control.control import Steering
from services.ingest.control.retry_preview import Retries
from services.ingest.http.api import build
from services.ingest.http.server import HttpServer
from services.ingest.http.tokens import Tokens
from services.ingest.maintenance.housekeeping import Caretaker
from services.ingest.maintenance.idle_batches import Expiry
from services.ingest.maintenance.progress_reconciler import Recount
from services.ingest.persistence.outbox import Outbox
from services.ingest.persistence.store import Store
from services.ingest.persistence.workload_registry import Registry
from services.ingest.progress.event_subscriber import Feed
from services.ingest.progress.hub import Watchers
from services.ingest.queries.aggregator_client import Ledger
from services.ingest.settings import IngestSettings
from services.ingest.submission.append import Growth
from services.ingest.submission.backpressure import Load
from services.ingest.submission.dedup_index import Dedup
from services.ingest.submission.source_expansion import Sources
from services.ingest.submission.submit import Submissions
from services.ingest.submission.upload_service import Uploads
from shared.messaging.consumer import Consumer, Route
from shared.messaging.publisher import Publisher
from shared.messaging.rpc_client import RpcClient
from shared.messaging.topology import declare
from shared.postgres.pool import open_pool
from shared.redis.client import RedisClient
from shared.runtime.process import Runtime
from shared.runtime.transient import retry_transient

COMMANDS_AT_ONCE = 32
SOURCES_AT_ONCE = 4


@asynccontextmanager
async def app(settings: IngestSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Run ingest. What was opened last is closed first: the doors shut before what they lead to."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, "ingest", "services.ingest.persistence")
        stack.push_async_callback(pool.close)
        publisher = await Publisher.open(settings.amqp_url, "ingest")
        stack.push_async_callback(publisher.close)
        await declare(publisher.connection)
        questions = await RpcClient.open(settings.amqp_url, "ingest")
        stack.push_async_callback(questions.close)
        memory = RedisClient(settings.redis_url)
        stack.push_async_callback(memory.close)

        store, registry, dedup = Store(pool), Registry(pool), Dedup(memory)
        await retry_transient(registry.reload, "PostgreSQL")
        outbox = Outbox(pool, publisher, runtime.health.pulse("outbox"), max_backlog=settings.max_backlog)
        ledger, watchers = Ledger(questions), Watchers(memory)
        load = Load(
            pool,
            runtime.health.pulse("backpressure"),
            per_owner=settings.max_waiting_per_owner,
            in_all=settings.max_waiting,
        )
        await retry_transient(load.refresh, "PostgreSQL")
        submissions = Submissions(store, outbox, registry, dedup, load, new_batch_id, _now)
        uploads = Uploads(store, outbox, registry, dedup, load, new_batch_id, _now)
        growth = Growth(store, outbox, registry, dedup, load)
        steering = Steering(store, outbox, ledger, Retries(ledger, registry), dedup, load, _now)
        invalidation = Invalidation(registry, publisher, _now)
        door = Door(submissions, uploads, growth, steering, invalidation, registry, ledger, watchers, store)

        runtime.spawn(outbox.run(), "outbox")
        stack.push_async_callback(outbox.stop)
        expiry = Expiry(store, outbox, dedup, _now, timedelta(seconds=settings.unsealed_idle_s))
        caretaker = Caretaker(uploads, expiry, registry, store, runtime.health.pulse("housekeeping"))
        runtime.spawn(caretaker.run(), "caretaker")
        stack.callback(caretaker.stop)
        recount = Recount(pool, ledger, load, runtime.health.pulse("progress reconciler"))
        for name, loop in (("load", load), ("recount", recount)):
            runtime.spawn(loop.run(), name)
            stack.callback(loop.stop)
        feed = Feed(settings.amqp_url, watchers, load, door.catch_up_all, runtime.health.pulse("event subscriber"))
        feeding = runtime.spawn(feed.run(), "feed")
        stack.push_async_callback(_ended, feed.stop, feeding)

        handlers = Handlers(submissions, growth, steering, invalidation, registry, publisher, _now)
        control = Consumer(settings.amqp_url, publisher, "ingest")
        control.subscribe(
            topology.INGEST_COMMANDS,
            [
                Route(BatchSubmit, handlers.submit),
                Route(BatchAppend, handlers.append),
                Route(BatchSeal, handlers.seal),
                Route(BatchControl, handlers.control),
                Route(CacheInvalidate, handlers.invalidate),
            ],
            at_once=COMMANDS_AT_ONCE,
            invalid=handlers.refused,
        )
        sources = Sources(store, outbox, registry, dedup, load)
        control.subscribe(
            topology.INGEST_SOURCES,
            [Route(SourceExpanded, sources.expanded), Route(SourceEnded, sources.ended)],
            at_once=SOURCES_AT_ONCE,
        )
        control.subscribe(topology.INGEST_WORKERS, [Route(WorkerAnnounced, handlers.announced)], at_once=1)
        await control.start()
        stack.push_async_callback(control.stop)

        server = HttpServer(
            build(
                door,
                Tokens(settings.api_tokens),
                max_websockets=settings.max_websockets,
                amqp_url=settings.amqp_url,
                operators=settings.operators,
            ),
            settings.http_host,
            settings.http_port,
        )
        serving = runtime.spawn(server.run(), "http")
        stack.push_async_callback(_ended, server.stop, serving)

        runtime.health.ready_when("http", lambda: server.started)
        runtime.health.ready_when("broker", publisher.connection.connected.is_set)
        runtime.health.ready_when("progress", lambda: feed.connected)
        yield


async def _ended(stop: Callable[[], None], task: "asyncio.Task[None]") -> None:
    """Ask a task to end, and wait until it has; its failure, if any, is the runtime's to tell."""
    stop()
    await asyncio.wait([task])


def _now() -> datetime:
    return datetime.now(UTC)
