"""Lets the commands of one batch go one after the other, in the order in which they came to this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID


class Turns:
    """A fair lock for each batch that somebody is busy with."""

    def __init__(self) -> None:
        self._locks: dict[UUID, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def take(self, batch_id: UUID | None) -> AsyncIterator[None]:
        """Wait for the turn; a command without a batch has nobody to wait for."""
        if batch_id is None:
            yield
            return
        lock, users = self._locks.get(batch_id, (asyncio.Lock(), 0))
        self._locks[batch_id] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[batch_id]
            if users == 1:
                del self._locks[batch_id]
            else:
                self._locks[batch_id] = (lock, users - 1)
