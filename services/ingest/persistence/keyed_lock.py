"""Serializes what concerns one batch in the order in which it reached this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID


class KeyedLock:
    """A fair lock per key. Only keys that are in use take memory."""

    def __init__(self) -> None:
        self._locks: dict[UUID, tuple[asyncio.Lock, int]] = {}

    def users(self, key: UUID) -> int:
        """Return how many tasks hold a key or wait for it."""
        return self._locks[key][1] if key in self._locks else 0

    @asynccontextmanager
    async def acquire(self, key: UUID | None) -> AsyncIterator[None]:
        """Hold the lock of a key; without a key there is nothing to wait for."""
        if key is None:
            yield
            return
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)
