"""Slots for concurrent calls of one workload: more open while all are busy, fewer when they are not used."""

import asyncio
from collections import deque


class Slots:
    """Between `min_slots` and `max_slots` slots, granted in the order of the requests."""

    def __init__(self, max_slots: int, min_slots: int = 1) -> None:
        self.max_slots = max_slots
        self.open = self._min_slots = min(min_slots, max_slots)
        """Number of slots that are open now."""
        self.busy = 0
        self._peak = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Take a slot if one is free."""
        if self.busy >= self.max_slots:
            return False
        self.busy += 1
        if self.busy > self._peak:
            self._peak = self.busy
            self.open = max(self.open, self._peak)
        return True

    async def acquire(self) -> None:
        """Wait for a slot and take it."""
        if self.try_acquire():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # the slot was granted at the same moment; `release` skips cancelled waiters
                self.release()
            raise

    def release(self) -> None:
        """Release a slot: the first waiting caller gets it."""
        while self._waiting:
            if not (waiter := self._waiting.popleft()).done():
                waiter.set_result(None)
                return
        self.busy -= 1

    def trim(self) -> None:
        """Close the slots that were not used since the last call."""
        self.open = max(self._min_slots, self._peak)
        self._peak = self.busy
