"""Publishes the messages of the outbox: at once those of this process, after a delay those of a crashed one."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import structlog

from services.aggregator.persistence.outbox_message import OutboxMessage
from services.aggregator.persistence.store import LedgerStore
from shared.messaging.publisher import Publisher
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_BATCH_SIZE = 100
_MAX_PENDING = 10_000


class Outbox:
    """Publisher of committed messages: publishes, waits for confirmation, marks them sent. A crash repeats one."""

    def __init__(self, store: LedgerStore, publisher: Publisher, pulse: Pulse, interval_s: float) -> None:
        self._store = store
        self._publisher = publisher
        self._pulse = pulse
        self._sweep_s = interval_s
        self._pending: deque[OutboxMessage] = deque(maxlen=_MAX_PENDING)  # dropped messages remain in the table
        self._wake = asyncio.Event()
        self._stopping = False
        self.is_working = False
        """True if the last sweep reached both servers."""

    def enqueue(self, messages: Sequence[OutboxMessage]) -> None:
        """Publish committed messages soon; if that fails, a sweep finds them in the table."""
        if messages:
            self._pending.extend(messages)
            self._wake.set()

    async def run(self) -> None:
        """Publish until `stop`, then publish what is still pending."""
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
            await self._publish_pending()
        await self._publish_pending()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping = True
        self._wake.set()

    async def _publish_pending(self) -> None:
        while self._pending:
            self._pulse.beat()
            messages = [self._pending.popleft() for _ in range(min(_BATCH_SIZE, len(self._pending)))]
            try:
                await self._publisher.publish([message.to_outgoing() for message in messages])
                await self._store.mark_sent([message.key for message in messages])
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning(
                    "messages left in the outbox", messages=len(messages), error=f"{type(error).__name__}: {error}"
                )

    async def _sweep(self) -> None:
        try:
            found = _BATCH_SIZE
            while found == _BATCH_SIZE and not self._stopping:
                self._pulse.beat()
                async with self._store.lock_overdue_messages(_BATCH_SIZE) as messages:
                    await self._publisher.publish([message.to_outgoing() for message in messages])
                    found = len(messages)
                if found:
                    log.info("published overdue messages", messages=found)
            self.is_working = True
        except Exception as error:
            if not is_transient(error):
                raise
            self.is_working = False
            log.warning("outbox sweep postponed", error=f"{type(error).__name__}: {error}")
