"""The notifier's tables: finished rounds, and deliveries with their due times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from batchyard_contracts.v1.events import BatchFinished
from services.notifier.domain.attempt import Attempt, DeliveryDecision, State
from services.notifier.domain.delivery import Delivery, Kind, Target, targets_of
from shared.postgres.pool import Pool
from shared.postgres.queries import columns, load_queries

_SQL = load_queries("services.notifier.persistence")


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


class DeliveryStore:
    """Access to the schema `notifier`. Due times and leases are counted by the database's clock."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def recorded_targets(self, batch_id: UUID) -> tuple[Target, ...]:
        """Return the targets of a batch that an earlier version accepted, which recorded them here."""
        row = await self._pool.fetchrow(_SQL["recorded_targets"], batch_id)
        return targets_of(row["webhooks"], row["emails"]) if row else ()

    async def add_round(
        self,
        batch_id: UUID,
        round_: int,
        type_: str,
        event: str,
        deliveries: Sequence[Delivery],
        traceparent: str | None,
        delay_s: float,
    ) -> None:
        """Save the event of a round with its deliveries, due after `delay_s`. What was saved first stays."""
        rows = [(d.id, d.target.kind, d.target.address, d.target.destination) for d in deliveries]
        await self._pool.execute(
            _SQL["add_round"], batch_id, round_, event, traceparent, type_, delay_s, *columns(rows, 4)
        )

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
