"""Gathers the overview from the services that know its parts. A part whose service is away is left out."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from batchyard_contracts.v1.queries import EndsQuery, EndsReply, LoadQuery, LoadReply
from services.ingest.domain.attention import Attention, MissedRun, attention
from services.ingest.domain.ingest_error import IngestError
from services.ingest.persistence.keyed_lock import KeyedLock
from services.ingest.persistence.schedule_store import ScheduleStore
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.queries.system_state import SystemReport, SystemState
from services.ingest.submission.backpressure import Backpressure, Unfinished

SINCE = timedelta(days=1)
"""Span of time of which ends are counted, and failures and missed runs are shown."""
_TIMEOUT_S = 2.0
_MAX_MISSED = 10
_KEPT_S = 1.0
"""Seconds for which one overview serves all who ask for it."""
_MAX_KEPT = 1000
ReplyT = TypeVar("ReplyT")


@dataclass(frozen=True, slots=True)
class Overview:
    """The overview of an owner, or of all; None stands for a part whose service is away."""

    at: datetime
    unfinished: Unfinished
    ends: EndsReply | None
    load: LoadReply | None
    system: SystemReport
    attention: Sequence[Attention]


class OverviewReader:
    """Reader of overviews."""

    def __init__(
        self,
        aggregator: AggregatorClient,
        backpressure: Backpressure,
        schedules: ScheduleStore,
        system: SystemState,
        clock: Callable[[], datetime],
    ) -> None:
        self._aggregator, self._backpressure, self._schedules = aggregator, backpressure, schedules
        self._system, self._clock = system, clock
        self._reading = KeyedLock()
        self._kept: dict[tuple[str | None, bool], tuple[float, Overview]] = {}
        """Overviews with the times at which they were made."""

    async def read(self, owner: str | None, *, with_dead_letters: bool) -> Overview:
        """Return the overview of an owner, or of all owners (None), of at most a second ago."""
        key = (owner, with_dead_letters)
        async with self._reading.acquire(key):
            kept = self._kept.get(key)
            if kept is None or time.monotonic() - kept[0] >= _KEPT_S:
                found = await self._read(owner, with_dead_letters=with_dead_letters)
                kept = self._kept[key] = (time.monotonic(), found)
                if len(self._kept) > _MAX_KEPT:
                    del self._kept[next(iter(self._kept))]
            return kept[1]

    async def _read(self, owner: str | None, *, with_dead_letters: bool) -> Overview:
        at = self._clock()
        ends, load, system, missed = await asyncio.gather(
            _unless_away(self._aggregator.ends(EndsQuery(owner=owner, since=at - SINCE), _TIMEOUT_S)),
            _unless_away(self._aggregator.load(LoadQuery(owner=owner), _TIMEOUT_S)),
            self._system.report(),
            self._schedules.missed_runs(owner, at - SINCE, _MAX_MISSED),
        )
        return Overview(
            at,
            self._backpressure.unfinished(owner),
            ends,
            load,
            system,
            attention(
                ends.failed if ends else (),
                load.circuits if load else (),
                system.dead_letters if with_dead_letters else {},
                load.workloads if load else (),
                [MissedRun(**run) for run in missed],
            ),
        )


async def _unless_away(reply: Awaitable[ReplyT]) -> ReplyT | None:
    """Return a reply; None when the service does not answer."""
    try:
        return await reply
    except IngestError:
        return None
