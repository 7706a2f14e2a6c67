"""Lets each item of a limited partition start at its moment: all workers agree on the moments through Redis.

A moment that was missed, because this process had no slot or no time, is given up for a new one: started late it
would crowd those that follow. While Redis is away, each worker keeps to its own share of the rate.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from batchyard_contracts.v1.work import Pace
from shared.reservations import AHEAD_S, PATIENCE_S, Rate, Reservations, key_of

LATENESS_S = 0.02
"""How long after its moment an item may still start."""
_TRIES = 4
"""Missed moments in a row after which an item starts all the same: this machine cannot keep time."""
_AT_ONCE_MAX = 500


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

    def __init__(self, workload: str, reservations: Reservations) -> None:
        self._workload, self._reservations = workload, reservations
        self._pace = Pace()
        self._rates: list[Rate] = []
        self._moments: deque[Moment] = deque()
        self._asking = asyncio.Lock()
        self.waiting = 0
        self._full_at: dict[str, float] = {}

    def learn(self, pace: Pace) -> None:
        """A chunk says what holds; it may be older than what is known, which the versions tell."""
        self._pace = pace
        self._rates = [Rate(key_of(self._workload, k.key), 1 / k.per_second, k.burst, k.version) for k in pace.keys]

    async def moment(self) -> Moment:
        """The next moment, kept for the caller alone. Raises `TooFar`."""
        self.waiting += 1
        try:
            while True:
                if (moment := self._next()) is not None:
                    return moment
                async with self._asking:
                    if not self._moments:
                        await asyncio.sleep(0)  # those that come now are asked for, too
                        await self._reserve(min(self.waiting, _AT_ONCE_MAX))
        finally:
            self.waiting -= 1

    async def park(self, seconds: float) -> None:
        """The destination asked for a pause: no worker starts anything before its end."""
        self._moments.clear()
        for key in self._pace.keys[:1]:
            await self._reservations.park(key_of(self._workload, key.key), seconds)

    def _next(self) -> Moment | None:
        now = asyncio.get_running_loop().time()
        while self._moments:
            moment = self._moments.popleft()
            if moment.last >= now:
                return moment
        return None

    async def _reserve(self, wanted: int) -> None:
        clock = asyncio.get_running_loop().time
        asked = clock()
        starts = await self._reservations.starts(self._rates, wanted)
        heard = clock()
        if starts is None:
            starts = self._by_own_share(wanted, heard)
            asked = heard
        if starts[0] < 0:
            raise TooFar(-starts[0])
        # Redis counted from some time between the two: never start early, and count as late from the earlier one.
        self._moments.extend(Moment(heard + s, max(heard, asked + s) + LATENESS_S) for s in starts)

    def _by_own_share(self, wanted: int, now: float) -> list[float]:
        starts: list[float] = []
        for _ in range(wanted):
            start = max([now, *(self._full_at.get(rate.key, now) for rate in self._rates)])
            if starts and start - now > AHEAD_S:
                break
            if start - now > PATIENCE_S:
                return [now - start]
            for rate in self._rates:
                self._full_at[rate.key] = start + rate.interval_s / self._pace.share
            starts.append(start - now)
        return starts


class Gates:
    """The gates of one workload on this worker."""

    def __init__(self, workload: str, reservations: Reservations, kept: int = 10_000) -> None:
        self._workload, self._reservations, self._kept = workload, reservations, kept
        self._gates: dict[str, Gate] = {}

    def at(self, partition: str, pace: Pace) -> Gate:
        """The gate of a partition, told what holds now."""
        gate = self._gates.pop(partition, None) or Gate(self._workload, self._reservations)
        self._gates[partition] = gate
        gate.learn(pace)
        if len(self._gates) > self._kept and not (oldest := next(iter(self._gates.values()))).waiting:
            del self._gates[next(name for name, g in self._gates.items() if g is oldest)]
        return gate
