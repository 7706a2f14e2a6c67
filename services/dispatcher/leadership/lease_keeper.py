"""Renews the lease of an epoch from a thread of its own, so that a busy event loop does not lose it.

A process that is frozen renews nothing. A process whose event loop has stood still for `MAX_LOOP_BLOCK_S` does not
either: it does no work, so another dispatcher may.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from services.dispatcher.leadership import epoch
from services.dispatcher.leadership.epoch import LEASE_S, Connection, Epoch
from services.dispatcher.settings import DispatcherSettings
from shared.runtime.errors import BatchyardError

log = structlog.get_logger()
MAX_LOOP_BLOCK_S = 10.0
"""Longest time in seconds for which the lease of a process is renewed whose event loop stands still."""
_RENEWAL_INTERVAL_S = 0.4
"""Seconds between two renewals: several of them may fail or be late before the lease ends."""
_BEAT_INTERVAL_S = 0.5
_QUICK = {"synchronous_commit": "off"}
"""Settings with which a renewal waits for no disk. After a crash of PostgreSQL the lease ends the earlier."""


class LeaseEnded(BatchyardError, TimeoutError):
    """The lease of this dispatcher was not renewed in time. Another one may be active."""


class LeaseKeeper:
    """The lease of an epoch as this process knows it. Only `_renew` and what it calls run in the thread."""

    def __init__(self, settings: DispatcherSettings, begun: Epoch) -> None:
        self.number = begun.number
        self.lost = asyncio.Event()
        """Set when there is a later epoch, or when the thread has ended."""
        self._settings = settings
        self._leased_until = begun.leased_until
        self._loop_seen_at = time.monotonic()
        self._loop, self._thread_loop = asyncio.get_running_loop(), asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run_thread, name="lease", daemon=True)

    @property
    def is_valid(self) -> bool:
        """False when the lease may have ended."""
        return time.monotonic() < self._leased_until

    def check(self) -> None:
        """Raise `LeaseEnded`, a transient error, if the lease may have ended."""
        if not self.is_valid:
            raise LeaseEnded

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Renew the lease while the block runs, and release it at the end."""
        beating = asyncio.create_task(self._beat())
        self._thread.start()
        try:
            yield
        finally:
            beating.cancel()
            with suppress(RuntimeError):  # the thread has ended
                self._thread_loop.call_soon_threadsafe(self._stopping.set)
            await asyncio.to_thread(self._thread.join, LEASE_S)

    async def _beat(self) -> None:
        while True:
            self._loop_seen_at = time.monotonic()
            await asyncio.sleep(_BEAT_INTERVAL_S)

    def _run_thread(self) -> None:
        try:
            self._thread_loop.run_until_complete(self._renew())
        finally:
            self._thread_loop.close()
            with suppress(RuntimeError):  # the event loop has ended
                self._loop.call_soon_threadsafe(self.lost.set)

    async def _renew(self) -> None:
        """Renew the lease until it is lost or to be released. It counts from the time before each request."""
        connection: Connection | None = None
        is_current, is_failing = True, False
        while is_current and not self._stopping.is_set():
            if time.monotonic() - self._loop_seen_at < MAX_LOOP_BLOCK_S:
                try:
                    connection = connection or await epoch.connect(self._settings, **_QUICK)
                    asked_at = time.monotonic()
                    is_current = await epoch.renew(connection, self.number)
                    if is_current:
                        self._leased_until, is_failing = asked_at + LEASE_S, False
                except Exception as error:  # noqa: BLE001  whatever fails, the lease ends unless a later attempt succeeds
                    if not is_failing:  # once for each outage
                        brief = f"{type(error).__name__}: {error}"[:300]
                        log.warning("lease not renewed", epoch=self.number, error=brief)
                    is_failing = True
                    if connection is not None:
                        connection.terminate()
                        connection = None
            with suppress(TimeoutError):
                async with asyncio.timeout(_RENEWAL_INTERVAL_S):
                    await self._stopping.wait()
        await self._end(connection, is_current=is_current)

    async def _end(self, connection: Connection | None, *, is_current: bool) -> None:
        self._leased_until = 0.0
        try:
            if connection is not None and is_current:
                await epoch.release(connection, self.number)
        except Exception as error:  # noqa: BLE001  then the lease ends by itself
            log.warning("lease not released", epoch=self.number, error=f"{type(error).__name__}: {error}"[:300])
        finally:
            if connection is not None:
                connection.terminate()
