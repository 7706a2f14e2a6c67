"""Passes on what was decided: at once when the broker takes it, else later and in order, until it has.

A decision and its messages are committed together. After that nothing can be lost: what this process does not get
confirmed, or dies before confirming, any ingest process sends again. So a message may come twice.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import asyncpg
import structlog

from batchyard_contracts.topology import FLOW
from services.ingest.domain.pager import Note
from shared.messaging.publisher import Outgoing, Publisher
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries
from shared.runtime.errors import PublishFailed
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_SQL = load_queries("services.ingest.persistence")
LATE = timedelta(seconds=5)
"""A message that waits for so long was left behind by a process that died: whoever relays sends it."""
PATIENCE_S = 5.0
"""How long the first command waits for a broker that is away; its messages are then left to the relay."""
_TIDY_S = 0.2
_RELAY_EVERY = 5
_ROWS = 20


class Outbox:
    """The messages of committed decisions on their way to the broker."""

    def __init__(self, pool: Pool, publisher: Publisher, pulse: Pulse, *, max_backlog: int) -> None:
        self._pool = pool
        self._publisher = publisher
        self._pulse = pulse
        self._max_backlog = max_backlog
        self._confirmed: list[int] = []
        self._behind: set[int] = set()
        self._waiting = 0
        self._stopping = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether so much waits for the broker that nothing more should be taken in."""
        return max(self._waiting, len(self._behind)) >= self._max_backlog

    async def deliver(self, row_id: int, notes: Sequence[Note], traceparent: str | None) -> None:
        """Send what was committed under `row_id`. Never fails: what cannot be sent now is sent later.

        While older messages wait, newer ones join them, so that a resume cannot overtake its pause.
        """
        if self._behind:
            self._behind.add(row_id)
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.send(notes, traceparent)
        except (PublishFailed, TimeoutError) as error:
            self._behind.add(row_id)
            log.warning("left to the relay", row=row_id, error=f"{type(error).__name__}: {error}")
            return
        self._confirmed.append(row_id)

    async def send(self, notes: Sequence[Note], traceparent: str | None) -> None:
        """Publish to the other services; returns when the broker has all of it."""
        await self._publisher.publish(
            [Outgoing(FLOW, note.type, note.type, note.body, traceparent=traceparent) for note in notes]
        )

    async def run(self) -> None:
        """Forget what is confirmed and relay what is late, until `stop`."""
        tick = 0
        while not self._stopping.is_set():
            self._pulse.beat()
            try:
                await self._tidy()
                if tick % _RELAY_EVERY == 0:
                    await self._relay()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("the outbox waits", error=f"{type(error).__name__}: {error}")
            tick += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(_TIDY_S):
                    await self._stopping.wait()

    async def stop(self) -> None:
        """Ask `run` to return, and forget what was confirmed since; if that fails, it will be sent once more."""
        self._stopping.set()
        try:
            await self._tidy()
        except Exception as error:
            if not is_transient(error):
                raise

    async def _tidy(self) -> None:
        if not self._confirmed:
            return
        gone, self._confirmed = self._confirmed, []
        try:
            await self._pool.execute(_SQL["forget_notes"], gone)
        except Exception:
            self._confirmed += gone
            raise

    async def _relay(self) -> None:
        """One process relays at a time, in the order of the decisions."""
        async with self._pool.acquire() as connection:
            if await connection.fetchval(_SQL["relay_turn"]):
                await self._relay_late(connection)
                await connection.execute(_SQL["end_relay_turn"])
            if self._behind:
                left = await connection.fetch(_SQL["notes_left"], list(self._behind))
                self._behind.intersection_update({row["id"] for row in left})
            self._waiting = await connection.fetchval(_SQL["count_notes"], self._max_backlog) if self._behind else 0

    async def _relay_late(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        while rows := await connection.fetch(_SQL["late_notes"], LATE, list(self._behind), _ROWS):
            for row in rows:
                self._pulse.beat()
                await self.send(list(map(Note, row["types"], row["bodies"])), row["traceparent"])
                await connection.execute(_SQL["forget_notes"], [row["id"]])
            log.info("relayed", rows=len(rows))
