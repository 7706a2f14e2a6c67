"""Drops, from time to time, what was kept of batches that nobody wanted to hear of."""

import asyncio
from typing import ClassVar

from services.notifier.persistence.store import Store
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient


class Sweeper:
    """An end that came before its batch is kept for a day; an end without anybody to tell goes with the rest."""

    EVERY_S: ClassVar[float] = 600.0
    AGE_S: ClassVar[float] = 86_400.0

    def __init__(self, store: Store, pulse: Pulse) -> None:
        self._store = store
        self._pulse = pulse
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

    async def run(self) -> None:
        """Sweep at once and then at every interval until stopped."""
        while not self._stopping.is_set():
            self._pulse.beat()
            await retry_transient(lambda: self._store.forget_strays(self.AGE_S), "PostgreSQL", waiting=self._pulse.beat)
            try:
                async with asyncio.timeout(self.EVERY_S):
                    await self._stopping.wait()
            except TimeoutError:
                continue
