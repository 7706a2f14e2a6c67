"""The tables of samples for charts: those of batches, and those of owners in steps of ten seconds and ten minutes."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import orjson

from services.aggregator.domain.series import Sample
from shared.postgres.pool import Pool
from shared.postgres.queries import columns, load_queries

_SQL = load_queries("services.aggregator.persistence", "series.sql")
ALL_OWNERS = ""
"""Owner under which the items of all owners are counted together."""
OWNER_STEP, _LONG_STEP = timedelta(seconds=10), timedelta(minutes=10)
_KEPT, _LONG_KEPT = timedelta(hours=2), timedelta(days=8)
"""Times for which steps of both lengths are kept."""
_MAX_SAMPLES = 10_000


class SeriesStore:
    """Repository of samples."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def save_batches(self, samples: Sequence[tuple[int, Sample]]) -> None:
        """Save samples of batches, by their keys. A batch that was deleted meanwhile is left out."""
        if samples:
            rows = [(key, *sample[:5], _array(sample.durations), _json(sample.destinations)) for key, sample in samples]
            await self._pool.execute(_SQL["save_batches"], *columns(rows, 8))

    async def save_owners(self, samples: Sequence[tuple[str, Sample]]) -> None:
        """Add samples of owners to the steps, of both lengths, in which they begin."""
        rows = [
            (owner, int(step.total_seconds()), start_of_step(sample.from_at, step), *sample[2:5],
             _array(sample.durations))
            for owner, sample in sorted(samples)
            for step in (OWNER_STEP, _LONG_STEP)
        ]  # fmt: skip
        if rows:
            await self._pool.execute(_SQL["save_owners"], *columns(rows, 7))

    async def of_batch(self, key: int) -> list[Sample]:
        """Return the samples of a batch."""
        rows = await self._pool.fetch(_SQL["of_batch"], key, _MAX_SAMPLES)
        return [_sample(row)._replace(destinations=_destinations(row["destinations"])) for row in rows]

    async def of_owner(self, owner: str, since: datetime, until: datetime) -> list[Sample]:
        """Return the steps of an owner in a span of time: long ones, if short ones are not kept so long."""
        step = OWNER_STEP if until - since < _KEPT else _LONG_STEP
        seconds = int(step.total_seconds())
        rows = await self._pool.fetch(_SQL["of_owner"], owner, seconds, start_of_step(since, step), until)
        return [_sample(row) for row in rows]

    async def delete_old(self) -> None:
        """Delete steps that are no longer kept."""
        for step, kept in ((OWNER_STEP, _KEPT), (_LONG_STEP, _LONG_KEPT)):
            await self._pool.execute(_SQL["delete_old"], int(step.total_seconds()), kept)


def start_of_step(at: datetime, step: timedelta) -> datetime:
    """Return the start of the step in which a time lies."""
    return datetime.fromtimestamp(at.timestamp() // step.total_seconds() * step.total_seconds(), UTC)


def _array(numbers: Sequence[int]) -> str:
    """Return numbers as an array of PostgreSQL, because arrays of different lengths make no array of arrays."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _json(destinations: Mapping[str, Mapping[int, int]]) -> str | None:
    return orjson.dumps(destinations, option=orjson.OPT_NON_STR_KEYS).decode() if destinations else None


def _destinations(text: str | None) -> dict[str, dict[int, int]]:
    found = {} if text is None else orjson.loads(text)
    return {name: {int(bucket): number for bucket, number in own.items()} for name, own in found.items()}


def _sample(row: asyncpg.Record) -> Sample:
    return Sample(*tuple(row.values())[:6])
