"""The notifier's tables: batches to tell of, rounds that ended, and deliveries with their due times."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from batchyard_contracts.v1.events import BatchFinished
from services.notifier.domain.attempt import Attempt, Decision
from services.notifier.domain.delivery import Delivery, Kind, Target, targets_of
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.notifier.persistence")


@dataclass(frozen=True, slots=True)
class Known:
    """What was kept of a batch when it was accepted."""

    name: str | None
    targets: tuple[Target, ...]
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process holds for one attempt, until its lease ends."""

    delivery: Delivery
    number: int
    """Which attempt this is, counted from 1."""
    event: str
    """The body of the event, as JSON."""
    name: str | None
    traceparent: str | None
    type: str = BatchFinished.type
    """Of the event."""


class BatchRecord:
    """One batch, locked for the length of a transaction."""

    def __init__(self, connection: "PoolConnectionProxy[Record]", batch_id: UUID) -> None:
        self._connection = connection
        self._batch_id = batch_id

    async def known(self) -> Known | None:
        """What was kept of it, if it has been accepted and there is somebody to tell."""
        row = await self._connection.fetchrow(_SQL["batch"], self._batch_id)
        return Known(row["name"], targets_of(row["webhooks"], row["emails"]), row["traceparent"]) if row else None

    async def keep(self, known: Known) -> None:
        """Keep whom to tell; what was kept first stays."""
        by_kind: Mapping[Kind, list[str]] = {"webhook": [], "email": []}
        for target in known.targets:
            by_kind[target.kind].append(target.address)
        await self._connection.execute(
            _SQL["keep_batch"], self._batch_id, known.name, by_kind["webhook"], by_kind["email"], known.traceparent
        )

    async def untold(self) -> Sequence[int]:
        """The rounds that ended and of which nobody has been told."""
        return [row["round"] for row in await self._connection.fetch(_SQL["untold_rounds"], self._batch_id)]

    async def tell(self, round_: int, new: Iterable[Delivery], traceparent: str | None, wait_s: float) -> None:
        """Add the deliveries of a round, due after `wait_s`."""
        rows = [
            (d.id, d.batch_id, d.round, d.target.kind, d.target.address, d.target.destination, traceparent, wait_s)
            for d in new
        ]
        await self._connection.executemany(_SQL["add_delivery"], rows)
        await self._connection.execute(_SQL["mark_told"], self._batch_id, round_)


class Store:
    """Access to the schema `notifier`. Due times and leases are counted by the database's clock."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def batch(self, batch_id: UUID) -> AsyncIterator[BatchRecord]:
        """One transaction on one batch; others on the same batch wait, whichever process they are in."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["lock_batch"], batch_id)
            yield BatchRecord(connection, batch_id)

    async def end_round(
        self, batch_id: UUID, round_: int, event: str, traceparent: str | None, type_: str = BatchFinished.type
    ) -> bool:
        """Keep that a round has ended; what was kept first stays. Whether somebody is to be told, as far as is known:
        if a batch is accepted later, `untold` gives its rounds."""
        await self._pool.execute(_SQL["keep_round"], batch_id, round_, event, traceparent, type_)
        return await self._pool.fetchrow(_SQL["batch"], batch_id) is not None

    async def forget_untold(self, batch_id: UUID) -> None:
        """Drop what was kept of the rounds of a batch: there is nobody to tell."""
        await self._pool.execute(_SQL["forget_untold"], batch_id)

    async def claim(
        self, kind: Kind, most: int, lease_s: float, per_destination: int, held: Mapping[str, int]
    ) -> Sequence[Claimed]:
        """Take up to `most` due deliveries, oldest first, leaving each destination within its limit."""
        rows = await self._pool.fetch(
            _SQL["claim"], kind, most, lease_s, per_destination, list(held), list(held.values())
        )
        return [
            Claimed(
                Delivery(row["id"], row["batch_id"], row["round"], Target(row["kind"], row["address"])),
                row["attempts"],
                row["event"],
                row["name"],
                row["traceparent"],
                row["type"],
            )
            for row in rows
        ]

    async def next_due_s(self, kind: Kind, without: Sequence[str]) -> float | None:
        """Seconds until the next delivery is due (or its lease ends), leaving out some destinations."""
        seconds: float | None = await self._pool.fetchval(_SQL["next_due"], kind, list(without))
        return seconds

    async def record(self, claimed: Claimed, attempt: Attempt, decision: Decision) -> None:
        """Write what came of an attempt. A failure counts only while no later attempt was begun."""
        key, number = claimed.delivery.id, claimed.number
        match decision.state:
            case "delivered":
                await self._pool.execute(_SQL["delivered"], key, attempt.status, attempt.reply)
            case "failed":
                await self._pool.execute(_SQL["failed"], key, number, attempt.status, decision.reason, attempt.reply)
            case "pending":
                await self._pool.execute(
                    _SQL["postponed"], key, number, decision.wait_s, attempt.status, decision.reason, attempt.reply
                )

    async def forget_strays(self, age_s: float) -> None:
        """Drop ends of rounds that are older than this and that nobody wanted to hear of."""
        await self._pool.execute(_SQL["forget_strays"], age_s)
