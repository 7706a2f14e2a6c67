"""The dispatcher's composition: one is active behind an advisory lock, others stand by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import structlog

from services.dispatcher.session import Resources, Session
from services.dispatcher.settings import DispatcherSettings
from shared.amqp.connection import connect
from shared.amqp.publisher import Publisher
from shared.amqp.topology import declare
from shared.database import open_pool
from shared.faults import is_passing
from shared.process import Runtime
from shared.redis import Memory

log = structlog.get_logger()
_LOCK = 0x64697370


@asynccontextmanager
async def app(settings: DispatcherSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Open what lives as long as the process; be active whenever the lock can be had."""
    pool = await open_pool(settings, "dispatcher", "services.dispatcher")
    publisher = await Publisher.open(settings.amqp_url, "dispatcher")
    await declare(publisher.connection)
    connection = await connect(settings.amqp_url, "dispatcher-consume")
    memory = Memory(settings.redis_url)
    dispatcher = Dispatcher(Resources(settings, runtime.health, pool, publisher, connection, memory))
    runtime.health.ready_when("RabbitMQ", connection.connected.is_set)
    runtime.health.ready_when("PostgreSQL", lambda: dispatcher.database_answers)
    active = runtime.spawn(dispatcher.run(), "dispatcher")
    try:
        yield
    finally:
        dispatcher.stop()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({active})
        await connection.close()
        await publisher.close()
        await memory.close()
        await pool.close()


class Dispatcher:
    """Holds the lock and dispatches; when the lock is lost, starts over from the tables."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._stopping = asyncio.Event()
        self._pulse = resources.health.pulse("dispatcher")
        self.database_answers = True

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Wait for the lock, be active while it is held, again and again."""
        while not self._stopping.is_set():
            self._pulse.beat()
            try:
                lock = await asyncpg.connect(self._resources.settings.database_url, timeout=5)
            except (OSError, TimeoutError, asyncpg.PostgresError) as error:
                if not is_passing(error):
                    raise
                self.database_answers = False
                await self._pause(1.0)
                continue
            self.database_answers = True
            try:
                if await lock.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                    await self._be_active(lock)
                else:
                    await self._pause(1.0)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("the lock is lost", error=str(error))
            finally:
                lock.terminate()

    async def _be_active(self, lock: "asyncpg.Connection[asyncpg.Record]") -> None:
        lost = asyncio.Event()
        lock.add_termination_listener(lambda _: lost.set())
        session = Session(self._resources)
        tasks: list[asyncio.Task[None]] = []
        log.info("active")
        ended = [asyncio.ensure_future(e.wait()) for e in (lost, self._stopping)]
        try:
            tasks = await session.start()
            while not lost.is_set() and not self._stopping.is_set():
                self._pulse.beat()
                await asyncio.wait([*ended, *tasks], timeout=5.0, return_when=asyncio.FIRST_COMPLETED)
                if failed := [t for t in tasks if t.done() and not t.cancelled() and t.exception()]:
                    raise failed[0].exception() or AssertionError
                if not lost.is_set():
                    await lock.execute("SELECT 1")
        finally:
            for waiter in ended:
                waiter.cancel()
            await session.close(tasks)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
