"""Statements of ingest on remote files, which replicas share: those of a batch are read by one process at a time."""

from collections.abc import Collection
from datetime import timedelta

import asyncpg
from pydantic import TypeAdapter

from batchyard_contracts.v1.commands import RemoteFiles
from services.ingest.domain.remote_file import ReadingProgress, RemoteFile, RemoteFilesJob
from shared.postgres.pool import Pool, PooledConnection
from shared.postgres.queries import load_queries

_SQL = load_queries("services.ingest.persistence", "remote_files.sql")
_FILES: TypeAdapter[tuple[RemoteFile, ...]] = TypeAdapter(tuple[RemoteFile, ...])
LEASE = timedelta(seconds=60)
"""Time after which the files of a process that has died are read on by another one."""


class RemoteFileStore:
    """Repository of remote files. A change is made only while the claim of its job is the latest."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, busy_owners: Collection[str]) -> RemoteFilesJob | None:
        """Claim the files of the batch that has waited longest, of none of these owners."""
        row = await self._pool.fetchrow(_SQL["claim_remote_files"], LEASE, list(busy_owners))
        return _job(row) if row else None

    async def save_files(self, job: RemoteFilesJob, files: tuple[RemoteFile, ...]) -> bool:
        """Save the list of files; False when another process has the job by now."""
        document, progress = _FILES.dump_json(files).decode(), job.progress.model_dump_json(exclude_defaults=True)
        return await _save(self._pool, job, document, progress, LEASE)

    async def save_progress(self, connection: PooledConnection, job: RemoteFilesJob, progress: ReadingProgress) -> bool:
        """Save how far the files are read, in the transaction that adds the items."""
        return await _save(connection, job, None, progress.model_dump_json(exclude_defaults=True), LEASE)

    async def release(self, job: RemoteFilesJob, progress: ReadingProgress, pause: timedelta) -> bool:
        """Give up a claim; the files are read on after a pause."""
        return await _save(self._pool, job, None, progress.model_dump_json(exclude_defaults=True), pause)

    async def renew(self, job: RemoteFilesJob) -> bool:
        """Renew a claim."""
        return bool(await self._pool.fetchval(_SQL["renew_remote_files"], job.batch_id, job.version, LEASE))

    async def delete(self, connection: PooledConnection | Pool, job: RemoteFilesJob) -> bool:
        """Delete what is known of files that are read, or that nobody needs any more."""
        return bool(await connection.fetchval(_SQL["delete_remote_files"], job.batch_id, job.version))

    async def discard(self, job: RemoteFilesJob) -> None:
        """Delete a job whose batch takes no more items."""
        await self.delete(self._pool, job)


async def _save(
    connection: PooledConnection | Pool, job: RemoteFilesJob, files: str | None, progress: str, lease: timedelta
) -> bool:
    arguments = job.batch_id, job.version, files, progress, lease
    return bool(await connection.fetchval(_SQL["save_remote_files"], *arguments))


def _job(row: asyncpg.Record) -> RemoteFilesJob:
    return RemoteFilesJob(
        row["batch_id"],
        row["owner"],
        RemoteFiles.model_validate_json(row["form"]),
        None if row["files"] is None else _FILES.validate_json(row["files"]),
        ReadingProgress.model_validate_json(row["progress"]),
        row["created_at"],
        row["version"],
    )
