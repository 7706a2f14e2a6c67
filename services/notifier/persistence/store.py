"""The notifier's tables: subscriptions of batches, finished rounds, and deliveries with their due times."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from batchyard_contracts.v1.events import BatchFinished
from services.notifier.domain.attempt import Attempt, DeliveryDecision, State
from services.notifier.domain.delivery import Delivery, Kind, Target, targets_of
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.notifier.persistence")


@dataclass(frozen=True, slots=True)
class Subscription:
    """Notification targets of a batch, saved when it was accepted."""

    name: str | None
    targets: tuple[Target, ...]
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """Delivery that this process has claimed for one attempt, until the lease ends."""

    delivery: Delivery
    attempt_number: int
    """Number of this attempt, counted from 1."""
    event: str
    """Body of the event, as JSON."""
    name: str | None
    traceparent: str | None
    type: str = BatchFinished.type
    """Type of the event."""
    causes: str | None = None
    """Causes of the round's failures, as JSON; None until they are known."""


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """Stored state of one delivery."""

    round: int
    target: Target
    state: State
    attempts: int
    status: int | None
    """HTTP status or SMTP code of the newest answer."""
    reason: str | None
    """Reason why the newest attempt failed."""
    due_at: datetime | None
    """Time of the next attempt; None unless the delivery is pending."""
    ended_at: datetime | None


class BatchTransaction:
    """Transaction that holds the lock of one batch."""

    def __init__(self, connection: "PoolConnectionProxy[Record]", batch_id: UUID) -> None:
        self._connection = connection
        self._batch_id = batch_id

    async def subscription(self) -> Subscription | None:
        """Return the batch's subscription; None if the batch was not accepted yet or has no targets."""
        row = await self._connection.fetchrow(_SQL["subscription"], self._batch_id)
        return (
            Subscription(row["name"], targets_of(row["webhooks"], row["emails"]), row["traceparent"]) if row else None
        )

    async def save_subscription(self, subscription: Subscription) -> None:
        """Save the notification targets of the batch; what was saved first stays."""
        by_kind: Mapping[Kind, list[str]] = {"webhook": [], "email": []}
        for target in subscription.targets:
            by_kind[target.kind].append(target.address)
        await self._connection.execute(
            _SQL["save_subscription"],
            self._batch_id,
            subscription.name,
            by_kind["webhook"],
            by_kind["email"],
            subscription.traceparent,
        )

    async def pending_rounds(self) -> Sequence[int]:
        """Return the finished rounds that have no deliveries yet."""
        return [row["round"] for row in await self._connection.fetch(_SQL["pending_rounds"], self._batch_id)]

    async def add_deliveries(
        self, round_: int, deliveries: Iterable[Delivery], traceparent: str | None, delay_s: float
    ) -> None:
        """Add the deliveries of a round, due after `delay_s`."""
        rows = [
            (d.id, d.batch_id, d.round, d.target.kind, d.target.address, d.target.destination, traceparent, delay_s)
            for d in deliveries
        ]
        await self._connection.executemany(_SQL["add_delivery"], rows)
        await self._connection.execute(_SQL["mark_notified"], self._batch_id, round_)


class DeliveryStore:
    """Access to the schema `notifier`. Due times and leases are counted by the database's clock."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def batch(self, batch_id: UUID) -> AsyncIterator[BatchTransaction]:
        """Open a transaction that locks one batch, also against other processes."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["lock_batch"], batch_id)
            yield BatchTransaction(connection, batch_id)

    async def save_finished_round(
        self, batch_id: UUID, round_: int, event: str, traceparent: str | None, type_: str = BatchFinished.type
    ) -> bool:
        """Save that a round has finished; what was saved first stays. Return whether the batch has a subscription yet.

        If the batch is accepted later, `pending_rounds` returns its rounds.
        """
        await self._pool.execute(_SQL["save_finished_round"], batch_id, round_, event, traceparent, type_)
        return await self._pool.fetchrow(_SQL["subscription"], batch_id) is not None

    async def delete_pending_rounds(self, batch_id: UUID) -> None:
        """Delete the saved rounds of a batch that has no targets."""
        await self._pool.execute(_SQL["delete_pending_rounds"], batch_id)

    async def claim(
        self, kind: Kind, limit: int, lease_s: float, concurrency_per_destination: int, held: Mapping[str, int]
    ) -> Sequence[ClaimedDelivery]:
        """Claim up to `limit` due deliveries, oldest first, within the limit of each destination."""
        rows = await self._pool.fetch(
            _SQL["claim"], kind, limit, lease_s, concurrency_per_destination, list(held), list(held.values())
        )
        return [
            ClaimedDelivery(
                Delivery(row["id"], row["batch_id"], row["round"], Target(row["kind"], row["address"])),
                row["attempts"],
                row["event"],
                row["name"],
                row["traceparent"],
                row["type"],
                row["causes"],
            )
            for row in rows
        ]

    async def next_due_s(self, kind: Kind, without: Sequence[str]) -> float | None:
        """Return the seconds until the next delivery is due (or its lease ends), except for some destinations."""
        seconds: float | None = await self._pool.fetchval(_SQL["next_due"], kind, list(without))
        return seconds

    async def record_attempt(self, claimed: ClaimedDelivery, attempt: Attempt, decision: DeliveryDecision) -> None:
        """Record the outcome of an attempt. A failure counts only if no later attempt was started."""
        key, number = claimed.delivery.id, claimed.attempt_number
        match decision.state:
            case "delivered":
                await self._pool.execute(_SQL["mark_delivered"], key, attempt.status, attempt.reply)
            case "failed":
                await self._pool.execute(
                    _SQL["mark_failed"], key, number, attempt.status, decision.reason, attempt.reply
                )
            case "pending":
                await self._pool.execute(
                    _SQL["mark_postponed"],
                    key,
                    number,
                    decision.delay_s,
                    attempt.status,
                    decision.reason,
                    attempt.reply,
                )

    async def save_causes(self, batch_id: UUID, round_: int, causes: str) -> str:
        """Save the causes of a round's failures, and return those that were saved first."""
        saved: str | None = await self._pool.fetchval(_SQL["save_causes"], batch_id, round_, causes)
        return causes if saved is None else saved

    async def deliveries(self, batch_id: UUID, owner: str, limit: int) -> Sequence[DeliveryRecord]:
        """Return the deliveries of an owner's batch, those of the newest round first."""
        rows = await self._pool.fetch(_SQL["deliveries"], batch_id, owner, limit)
        return [
            DeliveryRecord(
                row["round"],
                Target(row["kind"], row["address"]),
                row["state"],
                row["attempts"],
                row["status"],
                row["reason"],
                row["due_at"],
                row["ended_at"],
            )
            for row in rows
        ]

    async def delete_unclaimed_rounds(self, age_s: float) -> None:
        """Delete rounds without a subscription that are older than `age_s`."""
        await self._pool.execute(_SQL["delete_unclaimed_rounds"], age_s)
