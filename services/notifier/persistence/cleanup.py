"""Deletes finished rounds of batches without notification targets."""

import asyncio
from typing import ClassVar

from services.notifier.persistence.store import DeliveryStore
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient


class Cleanup:
    """Periodic deletion of rounds that nobody subscribed to.

    A round is kept for `AGE_S` because its `batch.finished` may arrive before the `batch.accepted` with the targets.
    """

    EVERY_S: ClassVar[float] = 600.0
    AGE_S: ClassVar[float] = 86_400.0

    def __init__(self, store: DeliveryStore, pulse: Pulse) -> None:
        self._store = store
        self._pulse = pulse
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

    async def run(self) -> None:
        """Delete at once and then at every interval until stopped."""
        while not self._stopping.is_set():
            self._pulse.beat()
            await retry_transient(
                lambda: self._store.delete_unclaimed_rounds(self.AGE_S), "PostgreSQL", on_wait=self._pulse.beat
            )
            try:
                async with asyncio.timeout(self.EVERY_S):
                    await self._stopping.wait()
            except TimeoutError:
                continue
