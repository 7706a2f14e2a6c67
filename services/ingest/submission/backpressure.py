"""Knows how many items wait, of each owner and in all, and says when no more can be taken.

The numbers stand in PostgreSQL: what a batch has, and how much of it events say has ended. Every process adds what it
accepted itself since it read them last, so a bound may be passed by what other processes accepted within that second.
"""

import asyncio
import time
from collections import Counter, defaultdict
from contextlib import suppress
from uuid import UUID

import structlog

from services.ingest.domain.fault import Fault
from services.ingest.domain.progress_snapshot import Frame
from services.ingest.domain.refused import Refused
from services.ingest.domain.throughput import Pace
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_SQL = load_queries("services.ingest.persistence")
EVERY_S = 1.0
HOLD_S = 20.0
"""How long an upload that finds no room is left unread before it breaks off."""


class Load:
    """The items that wait."""

    def __init__(self, pool: Pool, pulse: Pulse, *, per_owner: int, in_all: int) -> None:
        self._pool = pool
        self._pulse = pulse
        self._per_owner = per_owner
        self._in_all = in_all
        self._waiting: Counter[str] = Counter()
        self._total = 0
        self._taken: Counter[str] = Counter()
        self._heard: dict[UUID, Frame] = {}
        self._running: dict[UUID, tuple[int, int]] = {}
        self._ended: Counter[str] = Counter()
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._pace = Pace()
        self._at = time.monotonic()
        self._stopping = asyncio.Event()
        self._read = asyncio.Condition()

    def check(self, owner: str, items: int) -> None:
        """Raises `Refused` (429) when so many more items would pass a bound."""
        fault = self._full(owner, items)
        if fault is not None:
            raise Refused(fault)

    async def room(self, owner: str, items: int) -> None:
        """Wait a while for room for so many items; raises `Refused` (429) when there is none even then."""
        if self._full(owner, items) is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(HOLD_S), self._read:
                await self._read.wait_for(lambda: self._full(owner, items) is None)
        self.check(owner, items)

    def took(self, owner: str, items: int) -> None:
        """So many items were accepted here just now."""
        self._taken[owner] += items
        self._waiting[owner] += items
        self._total += items

    def hear(self, batch_id: UUID, frame: Frame) -> None:
        """An event told how far a batch is."""
        before = self._heard.get(batch_id)
        if before is None or frame.rank > before.rank:
            self._heard[batch_id] = frame
        round_, final, ended = frame.rank
        last = self._running.pop(batch_id, None)
        if last is not None and last[0] == round_:
            self._ended[frame.owner] += max(0, ended - last[1])
        elif final:
            self._ended[frame.owner] += ended
        if not final:
            self._running[batch_id] = (round_, ended)

    def says_finished(self, batch_id: UUID, round_: int) -> bool:
        """Whether an event that is not saved yet told of the end of this round, or of a later one."""
        frame = self._heard.get(batch_id)
        return frame is not None and frame.final and frame.rank[0] >= round_

    async def run(self) -> None:
        """Save what was heard and read the numbers anew, again and again until `stop`."""
        while not self._stopping.is_set():
            self._pulse.beat()
            try:
                await self._save()
                await self.refresh()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("numbers of waiting items are old", error=f"{type(error).__name__}: {error}")
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

    async def refresh(self) -> None:
        """Read the numbers, and let those look again who wait for room."""
        taken = self._taken.copy()
        rows = await self._pool.fetch(_SQL["waiting_items"])
        self._taken.subtract(taken)
        self._taken = +self._taken
        self._waiting = Counter({row["owner"]: row["waiting"] for row in rows}) + self._taken
        self._total = self._waiting.total()
        self._measure()
        async with self._read:
            self._read.notify_all()

    async def _save(self) -> None:
        heard, self._heard = self._heard, {}
        if not heard:
            return
        ranks = [frame.rank for frame in heard.values()]
        try:
            await self._pool.execute(
                _SQL["hear"],
                list(heard),
                [round_ for round_, _, _ in ranks],
                [bool(final) for _, final, _ in ranks],
                [ended for _, _, ended in ranks],
            )
        except Exception:
            self._heard = heard | self._heard
            raise

    def _measure(self) -> None:
        now = time.monotonic()
        during, self._at = now - self._at, now
        ended, self._ended = self._ended, Counter()
        self._pace.note(ended.total(), during)
        for owner in {*self._paces, *ended}:
            self._paces[owner].note(ended[owner], during)
            if owner not in self._waiting:
                del self._paces[owner]

    def _full(self, owner: str, items: int) -> Fault | None:
        waiting = self._waiting[owner]
        if waiting + items > self._per_owner:
            pace, bound, whose = self._paces.get(owner, Pace()), self._per_owner, f"of {owner!r} wait"
        elif self._total + items > self._in_all:
            pace, bound, whose, waiting = self._pace, self._in_all, "of all owners wait", self._total
        else:
            return None
        return Fault(
            "too_many_waiting",
            f"{waiting} items {whose} to be run, and at most {bound} may. About {pace.per_s:.0f} end a second. Send it "
            "again later, or cancel a batch that is not needed.",
            429,
            retry_after_s=pace.wait_s(waiting + items - bound),
        )
