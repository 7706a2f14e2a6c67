"""Answers queries for charts."""

from collections.abc import Callable
from datetime import datetime, timedelta

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import MAX_CHARTED, DestinationSeries, SeriesPoint, SeriesQuery, SeriesReply
from services.aggregator.domain.series import Sample, destinations_of, points_of
from services.aggregator.persistence.series_store import ALL_OWNERS, OWNER_STEP, SeriesStore, start_of_step
from services.aggregator.persistence.store import LedgerStore

_DEFAULT_SPAN = timedelta(hours=1)
_SAVED_AFTER = timedelta(seconds=4)
"""Time after the end of a step within which its samples are saved."""


class SeriesQueryHandler:
    """Handler of queries for charts."""

    def __init__(self, store: LedgerStore, series: SeriesStore, clock: Callable[[], datetime]) -> None:
        self._store, self._series, self._clock = store, series, clock

    async def on_series_query(self, query: SeriesQuery, _: Envelope) -> SeriesReply:
        """Return the points of a chart."""
        if query.batch_id is None:
            until = start_of_step(self._clock() - _SAVED_AFTER, OWNER_STEP)
            since = start_of_step(query.since or until - _DEFAULT_SPAN, OWNER_STEP)
            return _reply(await self._series.of_owner(query.owner or ALL_OWNERS, since, until), since, until, query)
        key = await self._store.batch_key(query.batch_id, query.owner or "")
        if key is None:
            return SeriesReply(found=False)
        samples = await self._series.of_batch(key)
        if not samples:
            return SeriesReply()
        start = min(sample.from_at for sample in samples)
        return _reply(samples, start, max(sample.at for sample in samples), query)


def _reply(samples: list[Sample], start: datetime, end: datetime, query: SeriesQuery) -> SeriesReply:
    """Return points of which none is shorter than a sample may be."""
    span = end - start
    shortest = OWNER_STEP if query.batch_id is None else timedelta(seconds=2)
    count = max(1, min(query.points, span // shortest))
    points = points_of(samples, start, end, count)
    return SeriesReply(
        step_s=round(span.total_seconds() / count, 3) if points else 0,
        points=[
            SeriesPoint(
                at=point.at,
                succeeded=round(point.succeeded, 6),
                failed=round(point.failed, 6),
                other=round(point.other, 6),
                p50_ms=point.p50_ms,
                p95_ms=point.p95_ms,
            )
            for point in points
        ],
        destinations=[
            DestinationSeries(**one._asdict()) for one in destinations_of(samples, start, end, count, MAX_CHARTED)
        ],
    )
