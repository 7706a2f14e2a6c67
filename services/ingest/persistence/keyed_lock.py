"""Serializes what concerns one batch in the order in which it reached this process."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class KeyedLock:
    """A fair lock per key. Only keys that are in use take memory."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    def users(self, key: Hashable) -> int:
        """Return how many tasks hold a key or wait for it."""
        return self._locks[key][1] if key in self._locks else 0

    @asynccontextmanager
    async def acquire(self, key: Hashable | None) -> AsyncIterator[None]:
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
