"""Statements of ingest on exports, which replicas share: each part of one is written by one process."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from services.ingest.domain.export_job import ExportForm, ExportJob, ExportProgress
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.ingest.persistence", "exports.sql")
LEASE = timedelta(seconds=60)
"""Time after which a part whose process has died is written by another one."""


class ExportStore:
    """Repository of exports."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def insert(
        self, export_id: UUID, owner: str, batch_id: UUID, form: ExportForm, key: str | None, most: tuple[int, int]
    ) -> ExportJob | None:
        """Insert an export; None if its key is taken, or if the owner has `most` that run, or the batch so many."""
        document = form.model_dump_json(exclude_defaults=True)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["lock_exports"], owner)
            row = await connection.fetchrow(_SQL["insert_export"], export_id, owner, batch_id, key, document, *most)
        return _job(row) if row else None

    async def get(self, owner: str, batch_id: UUID, export_id: UUID) -> ExportJob | None:
        """Return an export of an owner's batch."""
        row = await self._pool.fetchrow(_SQL["get_export"], export_id, owner, batch_id)
        return _job(row) if row else None

    async def get_by_key(self, owner: str, key: str) -> ExportJob | None:
        """Return the export of an owner that came with an idempotency key."""
        row = await self._pool.fetchrow(_SQL["get_export_by_key"], owner, key)
        return _job(row) if row else None

    async def count_running(self, owner: str) -> int:
        """Return the number of an owner's exports that have not ended."""
        return int(await self._pool.fetchval(_SQL["count_running"], owner))

    async def of_batch(self, owner: str, batch_id: UUID) -> list[ExportJob]:
        """Return the exports of a batch, the newest first."""
        return [_job(row) for row in await self._pool.fetch(_SQL["exports_of_batch"], owner, batch_id)]

    async def claim(self) -> ExportJob | None:
        """Claim the export that has waited longest, for one part."""
        row = await self._pool.fetchrow(_SQL["claim_export"], LEASE)
        return _job(row) if row else None

    async def renew(self, job: ExportJob) -> bool:
        """Renew a claim; False when another process has the export by now."""
        return bool(await self._pool.fetchval(_SQL["renew_export"], job.export_id, job.version, LEASE))

    async def save(
        self,
        job: ExportJob,
        progress: ExportProgress,
        *,
        pause: timedelta = timedelta(),
        error: str | None = None,
        has_ended: bool = False,
    ) -> bool:
        """Save what a claim has written; False when another process has the export by now."""
        document = progress.model_dump_json(exclude_defaults=True)
        arguments = job.export_id, job.version, document, pause, error, has_ended
        return bool(await self._pool.fetchval(_SQL["save_export"], *arguments))

    async def delete(self, job: ExportJob) -> ExportJob:
        """Delete an export, and return what it was in the end; its files are deleted already."""
        row = await self._pool.fetchrow(_SQL["delete_export"], job.export_id)
        return _job(row) if row else job

    async def old(self, age: timedelta, limit: int) -> list[ExportJob]:
        """Return exports that ended longer ago, the oldest first."""
        return [_job(row) for row in await self._pool.fetch(_SQL["old_exports"], age, limit)]


def _job(row: asyncpg.Record) -> ExportJob:
    fields: dict[str, Any] = dict(row)
    form = ExportForm.model_validate_json(fields.pop("form"))
    progress = ExportProgress.model_validate_json(fields.pop("progress"))
    return ExportJob(form=form, progress=progress, **fields)
