"""Lets each item of a limited partition start at its moment: all workers agree on the moments through Redis.

A moment that was missed, because this process had no slot or no time, is given up for a new one: started late it
would crowd those that follow. While Redis is away, each worker keeps to its own share of the rate.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from batchyard_contracts.v1.work import ChunkRates
from services.worker.limits.loop_lag import Lateness
from shared.redis.rate_reservations import AHEAD_S, GRAIN_S, PATIENCE_S, Rate, RateReservations, ReservedStarts, key_of

_AT_ONCE_MAX = 1000
_CLOSED_S = 0.1
"""For so long nobody asks again when nothing may start for longer than items should wait."""


class Moment(NamedTuple):
    """From when until when an item may start (event loop time)."""

    first: float
    last: float


class TooFar(Exception):
    """Nothing may start for so long that the item should not wait here."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"nothing may start for {delay_s:.1f} s")
        self.delay_s = delay_s


class Gate:
    """The moments of one partition."""

    def __init__(self, workload: str, reservations: RateReservations, lateness: Lateness | None = None) -> None:
        self._workload, self._reservations = workload, reservations
        self.lateness = lateness or Lateness()
        """Of this process."""
        self._chunk_rates = ChunkRates()
        self._rates: list[Rate] = []
        self._held: deque[tuple[Moment, int]] = deque()
        """Moments to come, each with the number of items that may start then."""
        self._asking = asyncio.Lock()
        self.waiting = 0
        self.quick = False
        """Whether an item ends in no time: one slot is enough for many of them."""
        self._full_at: dict[str, float] = {}
        self._closed: tuple[float, float] = (0.0, 0.0)
        """Until when that is believed, and when something may start again."""

    def learn(self, rates: ChunkRates) -> None:
        """A chunk says what holds; it may be older than what is known, which the versions tell."""
        self._chunk_rates = rates
        self._rates = [Rate(key_of(self._workload, k.key), 1 / k.per_second, k.burst, k.version) for k in rates.keys]

    def due(self, now: float) -> bool:
        """Whether an item may start at once, without waiting for an answer from Redis."""
        held = self._held
        while held:
            moment = held[0][0]
            if moment.last >= now:
                return moment.first <= now
            held.popleft()
        return False

    def take(self) -> Moment:
        """Take the first moment that is held."""
        moment, items = self._held[0]
        if items == 1:
            self._held.popleft()
        else:
            self._held[0] = (moment, items - 1)
        return moment

    async def moment(self, wanted: int) -> Moment:
        """The next moment, kept for the caller alone; `wanted` is how many may follow soon, this one included. Raises
        `TooFar`."""
        self.waiting += 1
        clock = asyncio.get_running_loop().time
        try:
            while True:
                self.due(clock())  # those that were missed go
                if self._held:
                    return self.take()
                async with self._asking:
                    if not self._held:
                        await asyncio.sleep(0)  # those that come now are asked for, too
                        await self._reserve(min(max(self.waiting, wanted), _AT_ONCE_MAX))
        finally:
            self.waiting -= 1

    async def park(self, seconds: float) -> None:
        """The destination asked for a pause: no worker starts anything before its end."""
        self._held.clear()
        for key in self._chunk_rates.keys[:1]:
            await self._reservations.park(key_of(self._workload, key.key), seconds)

    async def _reserve(self, wanted: int) -> None:
        clock = asyncio.get_running_loop().time
        asked = clock()
        believed_until, open_at = self._closed
        if asked < believed_until:
            raise TooFar(open_at - asked)
        starts = await self._reservations.starts(self._rates, wanted, stock=self.quick)
        heard = clock()
        if starts is None:
            starts = self._by_own_share(wanted, heard)
            asked = heard
        if starts[0].in_s < 0:
            self._closed = (heard + _CLOSED_S, heard - starts[0].in_s)
            raise TooFar(-starts[0].in_s)
        # Redis counted from some time between the two: never start early, and count as late from the earlier one.
        for in_s, calls, late_s in starts:
            self._held.append((Moment(heard + in_s, max(heard, asked + in_s) + late_s - GRAIN_S), calls))

    def _by_own_share(self, wanted: int, now: float) -> list[ReservedStarts]:
        starts: list[ReservedStarts] = []
        for _ in range(wanted):
            start = max([now, *(self._full_at.get(rate.key, now) for rate in self._rates)])
            if starts and start - now > AHEAD_S:
                break
            if start - now > PATIENCE_S:
                return [ReservedStarts(now - start, 0)]
            for rate in self._rates:
                self._full_at[rate.key] = start + rate.interval_s / self._chunk_rates.share
            starts.append(ReservedStarts(start - now, 1))
        return starts


class Gates:
    """The gates of one workload on this worker."""

    def __init__(self, workload: str, reservations: RateReservations, kept: int = 10_000) -> None:
        self._workload, self._reservations, self._kept = workload, reservations, kept
        self._gates: dict[str, Gate] = {}
        self._lateness = Lateness()

    def at(self, partition: str, rates: ChunkRates) -> Gate:
        """The gate of a partition, told what holds now."""
        gate = self._gates.pop(partition, None) or Gate(self._workload, self._reservations, self._lateness)
        self._gates[partition] = gate
        gate.learn(rates)
        if len(self._gates) > self._kept and not (oldest := next(iter(self._gates.values()))).waiting:
            del self._gates[next(name for name, g in self._gates.items() if g is oldest)]
        return gate
