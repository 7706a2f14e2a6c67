"""The dispatcher's composition root: one process is active, by an advisory lock, and the others stand by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import structlog
from aio_pika.abc import AbstractRobustConnection
from aio_pika.exceptions import AMQPConnectionError

from services.dispatcher.leadership import epoch
from services.dispatcher.leadership.epoch import Connection
from services.dispatcher.leadership.session import Resources, Session
from services.dispatcher.settings import DispatcherSettings
from shared.messaging.connection import connect
from shared.messaging.publisher import Publisher
from shared.messaging.topology import declare
from shared.postgres.migrations import migrate
from shared.redis.client import RedisClient
from shared.runtime.background import UNREADY_AFTER_S, BackgroundTask
from shared.runtime.process import Runtime
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_ADVISORY_LOCK = 0x64697370
_DEADLINE_S = 5.0
_RETRY_INTERVAL_S = 1.0


@asynccontextmanager
async def app(settings: DispatcherSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Open the connections of the process, and dispatch whenever the lock is held."""
    await migrate(settings, "dispatcher", "services.dispatcher.persistence")
    publisher = await retry_transient(lambda: Publisher.open(settings.amqp_url, "dispatcher"), "RabbitMQ")
    await retry_transient(lambda: _declare(publisher.connection), "RabbitMQ")
    connection = await connect(settings.amqp_url, "dispatcher-consume")
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


async def _declare(connection: AbstractRobustConnection) -> None:
    await connection.connected.wait()
    try:
        await declare(connection)
    except RuntimeError as error:  # connection lost meanwhile; the library raises nothing more specific
        raise AMQPConnectionError(str(error)) from error


class Dispatcher(BackgroundTask):
    """Holds the advisory lock and dispatches; starts over from the tables after the lock is lost or the session failed.

    No error ends the process: a session that fails is opened again after a growing pause. It counts as one that works,
    for `/readyz`, once it has lasted for `UNREADY_AFTER_S`; so does standing by, since two dispatchers whose sessions
    fail take turns.
    """

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources.health.pulse("leadership"), self._lead, interval_s=_RETRY_INTERVAL_S)
        self._resources = resources
        self.database_answers = True

    async def _lead(self) -> None:
        """Wait for the lock, and dispatch until it is lost, the session fails, or the process stops."""
        lock: Connection | None = None
        try:
            lock = await asyncpg.connect(
                self._resources.settings.database_url,
                timeout=_DEADLINE_S,
                command_timeout=_DEADLINE_S,
                server_settings=epoch.KEEPALIVE,
            )
            self.database_answers = True
            if await self._take(lock):
                await self._be_active(lock)
        finally:
            if lock is None:
                self.database_answers = False
            else:
                lock.terminate()

    async def _take(self, lock: Connection) -> bool:
        """Wait until the lock is free and take it; False if the process stops before."""
        since = self._clock()
        while not self._stopping.is_set():
            if await lock.fetchval("SELECT pg_try_advisory_lock($1)", _ADVISORY_LOCK):
                return True
            self._record_success_after(since)
            await self._pause(_RETRY_INTERVAL_S, self._stopping)
        return False

    async def _be_active(self, lock: Connection) -> None:
        number = await epoch.begin(lock)
        async with epoch.open_epoch_pool(self._resources.settings, number) as pool:
            log.info("dispatcher is active", epoch=number)
            await self._run_session(lock, Session(self._resources, pool))

    async def _run_session(self, lock: Connection, active: Session) -> None:
        lost = asyncio.Event()
        lock.add_termination_listener(lambda _: lost.set())
        losing = asyncio.create_task(lost.wait())
        session = asyncio.create_task(active.run(self._stopping))
        since = self._clock()
        try:
            while not session.done():
                self._pulse.beat()
                self._record_success_after(since)
                await asyncio.wait([losing, session], timeout=_DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
                if not session.done():
                    await lock.execute("SELECT 1")  # fails at once when the lock is lost
        finally:
            losing.cancel()
            session.cancel()
            await asyncio.wait([session])
        session.result()

    def _record_success_after(self, since: float) -> None:
        """Count what has lasted since a time (seconds of the clock) as working once that is long enough."""
        if self._clock() - since >= UNREADY_AFTER_S:
            self._record_success()
