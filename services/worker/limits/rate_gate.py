"""Lets each item of a rate-limited partition start at a time that all workers agree on through Redis.

A start window that this process missed, because it had no slot or was late, is replaced by a new one: a late start
would crowd those that follow. Without Redis each worker keeps to its own share of the rate.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from batchyard_contracts.v1.work import ChunkRates
from services.worker.limits.loop_lag import LoopLag
from shared.redis.rate_reservations import (
    MAX_WAIT_S,
    RESERVE_AHEAD_S,
    RESOLUTION_S,
    KeyRate,
    RateReservations,
    ReservedStarts,
    rate_key,
)

_MAX_RESERVED_STARTS = 1000
_CLOSED_S = 0.1
"""Seconds without a further request to Redis after one that found no start soon enough."""


class StartWindow(NamedTuple):
    """Earliest and latest event-loop time at which an item may start."""

    earliest: float
    latest: float


class WaitTooLong(Exception):
    """The next start is too far away for the item to wait here; `delay_s` is in seconds."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"nothing may start for {delay_s:.1f} s")
        self.delay_s = delay_s


class RateGate:
    """Start windows of one partition."""

    def __init__(self, workload: str, reservations: RateReservations, loop_lag: LoopLag | None = None) -> None:
        self._workload, self._reservations = workload, reservations
        self.loop_lag = loop_lag or LoopLag()
        """Event-loop lag of this process."""
        self._chunk_rates = ChunkRates()
        self._rates: list[KeyRate] = []
        self._reserved: deque[tuple[StartWindow, int]] = deque()
        """Reserved windows, each with the number of items that may start in it."""
        self._reserve_lock = asyncio.Lock()
        self.waiting = 0
        self.items_are_quick = False
        """True when an item ends almost at once, so that one slot serves many of them."""
        self._local_next_at: dict[str, float] = {}
        self._closed: tuple[float, float] = (0.0, 0.0)
        """Until when no request is made, and when the next start is possible."""
        self._paused_until = 0.0
        """End of the pause that the destination asked this process for. Redis may lose it."""

    def update_rates(self, rates: ChunkRates) -> None:
        """Take over the rates of a chunk. They may be older than those in Redis, which compares versions."""
        self._chunk_rates = rates
        self._rates = [
            KeyRate(rate_key(self._workload, k.key), 1 / k.per_second, k.burst, k.version) for k in rates.keys
        ]

    def is_due(self, now: float) -> bool:
        """Return True when an item may start now, without a request to Redis. Drops missed windows."""
        held = self._reserved
        while held:
            window = held[0][0]
            if window.latest >= now:
                return window.earliest <= now
            held.popleft()
        return False

    def take_reserved(self) -> StartWindow:
        """Take one start from the first reserved window."""
        window, items = self._reserved[0]
        if items == 1:
            self._reserved.popleft()
        else:
            self._reserved[0] = (window, items - 1)
        return window

    async def reserve(self, wanted: int) -> StartWindow:
        """Reserve the next start window for the caller; raises `WaitTooLong`.

        `wanted`: number of items that may follow soon, this one included.
        """
        self.waiting += 1
        clock = asyncio.get_running_loop().time
        try:
            while True:
                self.is_due(clock())  # missed reservations are released
                if self._reserved:
                    return self.take_reserved()
                async with self._reserve_lock:
                    if not self._reserved:
                        await asyncio.sleep(0)  # items that arrive meanwhile are part of the next query
                        await self._reserve(min(max(self.waiting, wanted), _MAX_RESERVED_STARTS))
        finally:
            self.waiting -= 1

    async def back_off(self, seconds: float) -> None:
        """Stop the starts of all workers for some seconds, as the destination asked."""
        self._reserved.clear()
        self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + seconds)
        await self._share_pause(seconds)

    async def _share_pause(self, seconds: float) -> None:
        for key in self._chunk_rates.keys[:1]:
            await self._reservations.back_off(rate_key(self._workload, key.key), seconds)

    async def _reserve(self, wanted: int) -> None:
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        believed_until, open_at = self._closed
        if asked_at < believed_until:
            raise WaitTooLong(open_at - asked_at)
        if (paused_s := self._paused_until - asked_at) > MAX_WAIT_S:
            raise WaitTooLong(paused_s)
        if paused_s > 0:
            await self._share_pause(paused_s)
        starts = await self._reservations.reserve(self._rates, wanted, prefetch=self.items_are_quick)
        answered_at = clock()
        if starts is None:
            starts = self._reserve_locally(wanted, answered_at)
            asked_at = answered_at
        if starts[0].in_s < 0:
            self._closed = (answered_at + _CLOSED_S, answered_at - starts[0].in_s)
            raise WaitTooLong(-starts[0].in_s)
        # Redis counted from some time between the two: never start early, and count as late from the earlier one.
        for in_s, calls, late_s in starts:
            self._reserved.append(
                (StartWindow(answered_at + in_s, max(answered_at, asked_at + in_s) + late_s - RESOLUTION_S), calls)
            )

    def _reserve_locally(self, wanted: int, now: float) -> list[ReservedStarts]:
        starts: list[ReservedStarts] = []
        for _ in range(wanted):
            start = max([now, self._paused_until, *(self._local_next_at.get(rate.key, now) for rate in self._rates)])
            if starts and start - now > RESERVE_AHEAD_S:
                break
            if start - now > MAX_WAIT_S:
                return [ReservedStarts(now - start, 0)]
            for rate in self._rates:
                self._local_next_at[rate.key] = start + rate.interval_s / self._chunk_rates.share
            starts.append(ReservedStarts(start - now, 1))
        return starts


class RateGates:
    """Gates of one workload on this worker."""

    def __init__(self, workload: str, reservations: RateReservations, max_gates: int = 10_000) -> None:
        self._workload, self._reservations, self._max_gates = workload, reservations, max_gates
        self._gates: dict[str, RateGate] = {}
        self._loop_lag = LoopLag()

    def gate(self, partition: str, rates: ChunkRates) -> RateGate:
        """Return the gate of a partition with these rates."""
        gate = self._gates.pop(partition, None) or RateGate(self._workload, self._reservations, self._loop_lag)
        self._gates[partition] = gate
        gate.update_rates(rates)
        if len(self._gates) > self._max_gates and not (oldest := next(iter(self._gates.values()))).waiting:
            del self._gates[next(name for name, g in self._gates.items() if g is oldest)]
        return gate
