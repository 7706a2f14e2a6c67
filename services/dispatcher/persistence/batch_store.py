"""The tables of batches: headers, commands, terms, and the manifests of workloads."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from batchyard_contracts.v1.flow import BatchAccepted, BatchControlled, WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import Reuse, StopReason, Terms
from services.dispatcher.persistence.statements import SQL
from services.dispatcher.state.batch import Batch
from shared.postgres.pool import Pool


class BatchStore:
    """Reads and writes batches. Every write may be repeated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def manifests(self) -> list[Manifest]:
        """The manifests that workers have announced."""
        return [Manifest.model_validate_json(row["manifest"]) for row in await self._pool.fetch(SQL["manifests"])]

    async def save_manifests(self, announced: WorkerAnnounced) -> None:
        """Keep what a worker announced, unless a later announcement is known."""
        rows = [(m.name, m.model_dump_json().encode(), announced.started_at) for m in announced.manifests]
        await self._pool.executemany(SQL["save_manifest"], rows)

    async def save_batch(self, accepted: BatchAccepted, traceparent: str | None) -> Batch | None:
        """Keep a header; None if the batch is finished already."""
        says = (accepted.batch_id, accepted.owner, accepted.workload, accepted.priority, traceparent, _reuse(accepted))
        await self._save_terms(accepted.batch_id, accepted.terms, [], accepted.accepted_at)
        row = await self._pool.fetchrow(SQL["save_batch"], *says)
        return _batch(row) if row else None

    async def live_batches(self) -> list[Batch]:
        """Batches that are not finished, and what they were told."""
        return [_batch(row) for row in await self._pool.fetch(SQL["live_batches"], None)]

    async def live_batch(self, batch_id: UUID) -> Batch | None:
        """One of them."""
        return next((_batch(row) for row in await self._pool.fetch(SQL["live_batches"], batch_id)), None)

    async def save_control(self, command: BatchControlled) -> None:
        """Keep a command, also of a batch that is not known yet. Of each thing that can be told the last one holds."""
        paused = {"pause": True, "resume": False}.get(command.action)
        priority = command.priority if command.action == "change" else None
        cancelled = command.action == "cancel"
        await self._pool.execute(SQL["save_control"], command.batch_id, paused, priority, cancelled, command.at)
        await self._save_terms(command.batch_id, command.terms, command.clear, command.at)

    async def save_stop(self, batch_id: UUID, round_: int, reason: StopReason) -> None:
        """Keep that a service stopped a round; the first cause holds."""
        await self._pool.execute(SQL["save_stop"], batch_id, round_, reason)

    async def finish(self, batch_id: UUID, round_: int) -> None:
        """Note the end of a round."""
        await self._pool.execute(SQL["finish_batch"], batch_id, round_)

    async def reopen(self, batch_id: UUID, round_: int, requested_at: datetime | None) -> Batch | None:
        """Begin another round; None if the batch is unknown, further on, or through with it."""
        if await self._pool.fetchval(SQL["reopen_batch"], batch_id, round_, requested_at) is None:
            return None
        return await self.live_batch(batch_id)

    async def is_known(self, batch_id: UUID) -> bool:
        """Whether a batch, finished or not, is kept."""
        return bool(await self._pool.fetchval(SQL["is_known"], batch_id))

    async def withdraw(self, batch_id: UUID) -> None:
        """Forget the pages of a submission that failed, and those still to come."""
        await self._pool.execute(SQL["withdraw"], batch_id)

    async def owner_of(self, batch_id: UUID) -> str | None:
        """Whose batch it is, if it is kept."""
        owner: str | None = await self._pool.fetchval(SQL["owner_of"], batch_id)
        return owner

    async def delete_old_batches(self, days: float) -> int:
        """Delete all that is kept of some batches that ended long ago: how many."""
        return int(await self._pool.fetchval(SQL["delete_old_batches"], days))

    async def delete_orphans(self, days: float) -> int:
        """Delete some pages, and commands, of batches that never came: of how many."""
        return int(await self._pool.fetchval(SQL["delete_orphans"], days))

    async def _save_terms(self, batch_id: UUID, terms: Terms, clear: Sequence[str], at: datetime) -> None:
        values: dict[str, str | None] = dict.fromkeys(clear)
        told = terms.model_dump(mode="json", exclude_none=True)
        values |= {name: orjson.dumps(value).decode() for name, value in told.items() if value != {}}
        if values:
            await self._pool.execute(SQL["save_terms"], batch_id, list(values), list(values.values()), at)


def _reuse(accepted: BatchAccepted) -> str | None:
    return None if accepted.reuse == Reuse() else accepted.reuse.model_dump_json(exclude_none=True)


def _batch(row: asyncpg.Record) -> Batch:
    values = dict(row)
    cause, terms, reuse = (values.pop(name) for name in ("stop_cause", "terms", "reuse"))
    return Batch(
        **values,
        stop_reason=cause,
        terms=Terms.model_validate_json(terms) if terms else Terms(),
        reuse=Reuse.model_validate_json(reuse) if reuse else None,
    )
