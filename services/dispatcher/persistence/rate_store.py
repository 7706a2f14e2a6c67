"""The tables of rates: learned rates, operators' overrides, circuits, pauses, and the history of rates."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import orjson
import structlog

from batchyard_contracts.v1.manifest import Adaptive
from batchyard_contracts.v1.queries import DestinationChange, RateHistoryEntry
from batchyard_contracts.v1.values import ItemError, Rate
from services.dispatcher.domain.rate_limiting.circuit_breaker import CircuitBreaker, CircuitState
from services.dispatcher.domain.rate_limiting.limit_set import MAX_LEARNED
from services.dispatcher.domain.rate_limiting.limiter import LearnedRate, Limiter, LimitTerms
from shared.postgres.pool import Pool
from shared.postgres.queries import columns, load_queries

log = structlog.get_logger()
SQL = load_queries("services.dispatcher.persistence", "rates.sql")
MAX_HISTORY = 200
"""Maximum number of history rows for each limiter."""
RateKey = tuple[str, str, str]
"""Workload, limit, value."""


class HistoryRow(NamedTuple):
    """A change of a rate or of a circuit."""

    key: RateKey
    at: datetime
    before: float | None
    after: float | None
    reason: str
    circuit: CircuitState | None = None
    """State that the circuit changed to; None: the rate changed."""


@dataclass(frozen=True, slots=True)
class SavedRates:
    """The saved rates, overrides, circuits and pauses."""

    learned: dict[RateKey, LearnedRate] = field(default_factory=dict)
    circuits: dict[RateKey, CircuitBreaker] = field(default_factory=dict)
    overrides: dict[tuple[str, str, str | None], LimitTerms] = field(default_factory=dict)
    backoffs: dict[RateKey, tuple[float, str]] = field(default_factory=dict)
    """The end of each pause that a destination asked for (monotonic seconds), and its reason."""


class RateStore:
    """Reads and writes the rate tables. Every write may be repeated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def load(self, now: float) -> SavedRates:
        """Load everything that this version can read; `now` is the monotonic clock of the circuits and pauses."""
        saved = SavedRates()
        since = now - time.time()
        for row in await self._pool.fetch(SQL["rates"], MAX_LEARNED):
            key = (row["workload"], row["limit_name"], row["value"])
            if row["per_second"] is not None:
                saved.learned[key] = LearnedRate(row["per_second"], row["failed_at"])
            if row["backoff_s"] is not None:
                saved.backoffs[key] = (now + row["backoff_s"], row["backoff_reason"] or "")
            if row["circuit"] is not None:
                try:
                    saved.circuits[key] = _circuit(row["circuit"], since)
                except (ValueError, TypeError, KeyError) as error:
                    log.error("stored circuit cannot be read", workload=row["workload"], error=str(error)[:300])
        for row in await self._pool.fetch(SQL["rate_overrides"]):
            value = None if row["every"] else row["value"]
            try:
                saved.overrides[row["workload"], row["limit_name"], value] = _terms(row["terms"])
            except (ValueError, TypeError, KeyError) as error:
                log.error("stored override cannot be read", workload=row["workload"], error=str(error)[:300])
        return saved

    async def save_override(self, workload: str, limit: str, value: str | None, terms: LimitTerms | None) -> None:
        """Save the terms that an operator set; None deletes them."""
        place = (workload, limit, value or "", value is None)
        if terms is None:
            await self._pool.execute(SQL["drop_rate_override"], *place)
            return
        fields = {"rate": terms.rate, "adaptive": terms.adaptive, "concurrency": terms.concurrency}
        await self._pool.execute(SQL["save_rate_override"], *place, orjson.dumps(fields, default=_plain).decode())

    async def save(self, limiters: Sequence[tuple[str, Limiter]], history: Sequence[HistoryRow], now: float) -> None:
        """Save learned rates, circuits and pauses of limiters, each with its workload, and the changes of rates."""
        since = time.time() - now
        rows = [
            (w, t.limit, t.value, *_learned(t), _circuit_text(t.circuit, since), *_backoff(t, now)) for w, t in limiters
        ]
        async with self._pool.acquire() as connection, connection.transaction():
            if rows:
                await connection.execute(SQL["save_rates"], *columns(rows, 8))
            if history:
                history_rows = [(*line.key, *line[1:]) for line in history]
                await connection.execute(SQL["add_rate_history"], *columns(history_rows, 8))
                keys = list({line.key for line in history})
                await connection.execute(SQL["cut_rate_history"], *columns(keys, 3), MAX_HISTORY)

    async def history(self, keys: Sequence[RateKey], limit: int) -> dict[RateKey, list[RateHistoryEntry]]:
        """Return the newest `limit` changes of each limiter, the newest first."""
        found: dict[RateKey, list[RateHistoryEntry]] = {}
        for row in await self._pool.fetch(SQL["rate_history"], *columns(keys, 3), limit):
            change = RateHistoryEntry(**_change(row))
            found.setdefault((row["workload"], row["limit_name"], row["value"]), []).append(change)
        return found

    async def changes_between(
        self, workload: str, keys: Sequence[tuple[str, str]], since: datetime, before: datetime, limit: int
    ) -> list[DestinationChange]:
        """Return the newest changes of some limits and values in a span of time, the newest first."""
        rows = await self._pool.fetch(SQL["changes_between"], workload, *columns(keys, 2), since, before, limit)
        return [DestinationChange(limit=row["limit_name"], partition=row["value"], **_change(row)) for row in rows]

    async def delete_unused(self, days: float) -> None:
        """Delete what was not updated for so many days."""
        await self._pool.execute(SQL["delete_unused_rates"], days)


def _change(row: asyncpg.Record) -> dict[str, Any]:
    """Return the fields of a `RateHistoryEntry`."""
    names = ("at", "before", "after", "circuit")
    return {"reason": row["cause"], **{name: row[name] for name in names}}


def _learned(limiter: Limiter) -> tuple[float | None, float | None]:
    return (limiter.learned.per_second, limiter.learned.capacity) if limiter.learned else (None, None)


def _backoff(limiter: Limiter, now: float) -> tuple[float | None, str | None]:
    """Return the remaining seconds of a pause, and its reason."""
    left_s = limiter.backoff_until - now
    return (left_s, limiter.backoff_reason) if left_s > 0 else (None, None)


def _circuit_text(circuit: CircuitBreaker, since: float) -> str | None:
    if circuit.state == "closed":
        return None
    times = {"opened_at": circuit.opened_at + since, "until": circuit.next_probe_at + since}
    error = circuit.error.model_dump() if circuit.error else None
    return orjson.dumps(times | {"pause_s": circuit.pause_s, "error": error, "since": circuit.opened_on}).decode()


def _circuit(text: str, since: float) -> CircuitBreaker:
    fields = orjson.loads(text)
    error = ItemError.model_validate(fields["error"]) if fields["error"] else None
    opened = datetime.fromisoformat(fields["since"]) if fields.get("since") else None
    return CircuitBreaker(
        "open", error, fields["opened_at"] + since, fields["pause_s"], fields["until"] + since, opened
    )


def _terms(text: str) -> LimitTerms:
    fields = orjson.loads(text)
    rate = Rate.model_validate(fields["rate"]) if fields["rate"] else None
    adaptive = Adaptive.model_validate(fields["adaptive"]) if fields["adaptive"] else None
    return LimitTerms(rate, fields["concurrency"], adaptive, set_by_operator=True)


def _plain(value: Rate | Adaptive) -> object:
    return value.model_dump()
