"""Places for the calls of one workload: more while all are busy and calls wait, fewer when they are not needed."""

import asyncio
from collections import deque


class Slots:
    """Between `least` and `most` places. They are given in the order in which they were asked for."""

    def __init__(self, max_slots: int, min_slots: int = 1) -> None:
        self.max_slots = max_slots
        self.open = self._min_slots = min(min_slots, max_slots)
        """Places there are now."""
        self.busy = 0
        self._peak = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Take a place if one can be had at once."""
        if self.busy >= self.max_slots:
            return False
        self.busy += 1
        if self.busy > self._peak:
            self._peak = self.busy
            self.open = max(self.open, self._peak)
        return True

    async def acquire(self) -> None:
        """Wait for a place, and take it."""
        if self.try_acquire():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # it was given at that very moment; one that was not is passed over by `give`
                self.release()
            raise

    def release(self) -> None:
        """Give a place back: the first that waits has it."""
        while self._waiting:
            if not (waiter := self._waiting.popleft()).done():
                waiter.set_result(None)
                return
        self.busy -= 1

    def trim(self) -> None:
        """Close the places that nobody needed since the last time."""
        self.open = max(self._min_slots, self._peak)
        self._peak = self.busy
