"""The dispatcher's composition root: one process is active, by a timed lease, and the others stand by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aio_pika.abc import AbstractRobustConnection
from aio_pika.exceptions import AMQPConnectionError

from services.dispatcher.leadership import epoch
from services.dispatcher.leadership.epoch import Connection, Epoch
from services.dispatcher.leadership.lease_keeper import LeaseKeeper
from services.dispatcher.leadership.session import HEARTBEAT_S, Resources, Session
from services.dispatcher.settings import DispatcherSettings
from shared.messaging.connection import connect
from shared.messaging.publisher import Publisher
from shared.messaging.topology import prepare
from shared.postgres.migrations import migrate
from shared.redis.client import RedisClient
from shared.runtime.background import UNREADY_AFTER_S, BackgroundTask
from shared.runtime.process import Runtime
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_LOOK_INTERVAL_S = 0.25
"""Seconds between two looks at the lease of another dispatcher."""
_BEAT_S = 5.0


@asynccontextmanager
async def app(settings: DispatcherSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Open the connections of the process, and dispatch whenever this process holds the lease."""
    await migrate(settings, "dispatcher", "services.dispatcher.persistence")
    publisher = await retry_transient(lambda: Publisher.open(settings.amqp_url, "dispatcher"), "RabbitMQ")
    await retry_transient(lambda: _prepare(publisher.connection, settings), "RabbitMQ")
    connection = await connect(settings.amqp_url, "dispatcher-consume", HEARTBEAT_S)
    memory = RedisClient(settings.redis_url)
    dispatcher = Dispatcher(Resources(settings, runtime.health, publisher, connection, memory))
    runtime.health.add_readiness_check("RabbitMQ", connection.connected.is_set)
    runtime.health.add_readiness_check("PostgreSQL", lambda: dispatcher.database_answers)
    try:
        async with runtime.running(dispatcher):
            yield
    finally:
        await connection.close()
        await publisher.close()
        await memory.close()


async def _prepare(connection: AbstractRobustConnection, settings: DispatcherSettings) -> None:
    await connection.connected.wait()
    try:
        await prepare(connection, settings.topology, "dispatcher")
    except RuntimeError as error:  # connection lost meanwhile; the library raises nothing more specific
        raise AMQPConnectionError(str(error)) from error


class Dispatcher(BackgroundTask):
    """Takes the lease and dispatches; starts over from the tables after the lease is lost or the session failed.

    No error ends the process: a session that fails is opened again after a growing pause. It counts as one that works,
    for `/readyz`, once it has lasted for `UNREADY_AFTER_S`; so does standing by, since two dispatchers whose sessions
    fail take turns.
    """

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources.health.pulse("leadership"), self._lead, interval_s=0.0)
        self._resources = resources
        self._lease: LeaseKeeper | None = None
        self._has_answered = True

    @property
    def database_answers(self) -> bool:
        """True while PostgreSQL renews the lease, or answers the one that stands by."""
        return self._lease.is_valid if self._lease else self._has_answered

    async def _lead(self) -> None:
        """Wait for the lease, and dispatch until it is lost, the session fails, or the process stops."""
        begun = await self._await_epoch()
        if begun is None:
            return
        self._lease = LeaseKeeper(self._resources.settings, begun)
        try:
            async with self._lease.renewing(), epoch.open_epoch_pool(self._resources.settings, begun.number) as pool:
                log.info("dispatcher is active", epoch=begun.number)
                await self._run_session(self._lease, Session(self._resources, pool, self._lease))
        finally:
            self._lease = None

    async def _await_epoch(self) -> Epoch | None:
        """Wait until the lease is free and take it; None if the process stops before.

        A lease that has ended is taken at the second look: after a pause of PostgreSQL its holder, whose renewal was
        waiting too, goes first.
        """
        since, has_ended = self._clock(), False
        connection: Connection | None = None
        try:
            connection = await epoch.connect(self._resources.settings)
            while not self._stopping.is_set():
                state = await epoch.lease_state(connection)
                self._has_answered = True
                is_free = state == "released" or (state == "ended" and has_ended)
                if is_free and (begun := await epoch.begin(connection)):
                    return begun
                has_ended = state == "ended"
                self._record_success_after(since)
                await self._pause(_LOOK_INTERVAL_S, self._stopping)
        except Exception:
            self._has_answered = False
            raise
        finally:
            if connection is not None:
                connection.terminate()
        return None

    async def _run_session(self, lease: LeaseKeeper, active: Session) -> None:
        losing = asyncio.create_task(lease.lost.wait())
        session = asyncio.create_task(active.run(self._stopping))
        since = self._clock()
        try:
            while not (session.done() or losing.done()):
                self._pulse.beat()
                self._record_success_after(since)
                await asyncio.wait([losing, session], timeout=_BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if not session.done():
                log.warning("lease lost", epoch=lease.number)
        finally:
            losing.cancel()
            session.cancel()
            await asyncio.wait([session])
        if not session.cancelled():
            session.result()

    def _record_success_after(self, since: float) -> None:
        """Count what has lasted since a time (seconds of the clock) as working once that is long enough."""
        if self._clock() - since >= UNREADY_AFTER_S:
            self._record_success()
