"""Publishes what was decided: at once what this process decided, after a while what a crashed one left behind."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import structlog

from services.aggregator.persistence.outbox_message import Entry
from services.aggregator.persistence.store import Store
from shared.messaging.publisher import Publisher
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_AT_ONCE = 100
_IN_HAND = 10_000


class Outbox:
    """Takes entries that are committed, publishes them confirmed, then marks them. A crash in between repeats one."""

    def __init__(self, store: Store, publisher: Publisher, pulse: Pulse, sweep_s: float) -> None:
        self._store = store
        self._publisher = publisher
        self._pulse = pulse
        self._sweep_s = sweep_s
        self._offered: deque[Entry] = deque(maxlen=_IN_HAND)  # what falls out at the other end is in the table
        self._wake = asyncio.Event()
        self._stopping = False
        self.working = False
        """Whether the last sweep reached both servers."""

    def offer(self, entries: Sequence[Entry]) -> None:
        """Publish these at once; if that fails, a sweep finds them in the table."""
        if entries:
            self._offered.extend(entries)
            self._wake.set()

    async def run(self) -> None:
        """Publish until `stop`, then what is left in hand."""
        clock = asyncio.get_running_loop().time
        next_sweep = clock()
        while not self._stopping:
            self._pulse.beat()
            if clock() >= next_sweep:
                await self._sweep()
                next_sweep = clock() + self._sweep_s
            with suppress(TimeoutError):
                async with asyncio.timeout(next_sweep - clock()):
                    await self._wake.wait()
            self._wake.clear()
            await self._publish_offered()
        await self._publish_offered()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping = True
        self._wake.set()

    async def _publish_offered(self) -> None:
        while self._offered:
            self._pulse.beat()
            entries = [self._offered.popleft() for _ in range(min(_AT_ONCE, len(self._offered)))]
            try:
                await self._publisher.publish([entry.outgoing() for entry in entries])
                await self._store.mark_sent([entry.key for entry in entries])
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("left in the outbox", entries=len(entries), error=f"{type(error).__name__}: {error}")

    async def _sweep(self) -> None:
        try:
            found = _AT_ONCE
            while found == _AT_ONCE and not self._stopping:
                self._pulse.beat()
                async with self._store.overdue(_AT_ONCE) as entries:
                    await self._publisher.publish([entry.outgoing() for entry in entries])
                    found = len(entries)
                if found:
                    log.info("published from the outbox", entries=found)
            self.working = True
        except Exception as error:
            if not is_transient(error):
                raise
            self.working = False
            log.warning("the outbox waits for a server", error=f"{type(error).__name__}: {error}")
