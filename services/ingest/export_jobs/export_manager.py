"""Begins, shows, reads and deletes exports."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import UUID

from services.ingest.domain.export_job import (
    MANIFEST,
    MANIFEST_DIGEST,
    MEDIA_TYPES,
    ExportForm,
    ExportJob,
    digest_line,
    sha256_of,
)
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.exports.parquet import check_parquet
from services.ingest.persistence.export_store import ExportStore
from shared.artefacts.store import ArtefactStore, StoreFailed, StoreRefused

MAX_RUNNING, MAX_OF_BATCH = 5, 100
"""Exports of one owner that have not ended, and exports of one batch."""
NOT_FOUND = Rejection("export_not_found", "There is no such export. Check its id, and that it is of this batch.", 404)
_NO_FILE = Rejection("export_not_found", "The export has no such file. `parts` names those that it has.", 404)
_TOO_MANY = Rejection(
    "too_many_exports",
    f"An owner has at most {MAX_RUNNING} exports that run. Wait for one, or read the results directly.",
    429,
    retry_after_s=5,
)
_TOO_MANY_OF_BATCH = Rejection(
    "too_many_exports", f"A batch has at most {MAX_OF_BATCH} exports. Delete one that you do not need.", 429
)
_KEY_TAKEN = Rejection("idempotency_conflict", "The key was used for another export. Use a new one.", 409)
_UNAVAILABLE = Rejection("store_unavailable", "The store of exports cannot be used. Try again in a moment.", 503)


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file of an export: its size and digest, and how to read it."""

    name: str
    bytes: int
    sha256: str
    media_type: str
    place: str
    """Its name in the store."""


class ExportManager:
    """Exports, as clients see them."""

    def __init__(
        self,
        store: ExportStore,
        files: ArtefactStore,
        fault: Callable[[], str | None],
        new_id: Callable[[], UUID],
    ) -> None:
        self._store, self._files, self._fault, self._new_id = store, files, fault, new_id

    async def begin(self, owner: str, batch_id: UUID, form: ExportForm, key: str | None) -> ExportJob:
        """Begin an export, once for each idempotency key; raises `IngestError`."""
        if form.format == "parquet":
            check_parquet()
        if fault := self._fault():
            detail = f"Exports {fault}. Ask the operator to set BATCHYARD_EXPORTS_STORE, or read the results directly."
            raise IngestError(Rejection("store_unavailable", detail, 503))
        most = MAX_RUNNING, MAX_OF_BATCH
        job = await self._store.insert(self._new_id(), owner, batch_id, form, key, most)
        if job is not None:
            return job
        earlier = await self._store.get_by_key(owner, key) if key is not None else None
        if earlier is None:
            is_owners = await self._store.count_running(owner) >= MAX_RUNNING
            raise IngestError(_TOO_MANY if is_owners else _TOO_MANY_OF_BATCH)
        if (earlier.form, earlier.batch_id) != (form, batch_id):
            raise IngestError(_KEY_TAKEN)
        return earlier

    async def get(self, owner: str, batch_id: UUID, export_id: UUID) -> ExportJob:
        """Return an export; raises `IngestError` (404)."""
        job = await self._store.get(owner, batch_id, export_id)
        if job is None:
            raise IngestError(NOT_FOUND)
        return job

    async def of_batch(self, owner: str, batch_id: UUID) -> list[ExportJob]:
        """Return the exports of a batch, the newest first."""
        return await self._store.of_batch(owner, batch_id)

    async def file(self, job: ExportJob, name: str) -> ExportFile:
        """Return a file of an export; raises `IngestError` (404)."""
        place = f"{job.folder}/{name}"
        for part in job.progress.parts:
            if part.name == name:
                return ExportFile(name, part.bytes, part.sha256, MEDIA_TYPES[job.form.format], place)
        digest, size = job.progress.manifest_sha256, job.progress.manifest_bytes
        if digest is None or name not in {MANIFEST, MANIFEST_DIGEST}:
            raise IngestError(_NO_FILE)
        if name == MANIFEST:
            return ExportFile(name, size, digest, "application/json", place)
        text = digest_line(digest)
        return ExportFile(name, len(text), sha256_of(text), "text/plain; charset=utf-8", place)

    async def read(self, file: ExportFile, start: int, end: int) -> AsyncIterator[bytes]:
        """Read a part of a file; raises `IngestError` (503) when the store is away."""
        try:
            async for piece in self._files.read(file.place, start, end):
                yield piece
        except (StoreFailed, StoreRefused) as error:
            raise IngestError(_UNAVAILABLE) from error

    async def delete(self, job: ExportJob) -> None:
        """Delete an export with its files; raises `IngestError` (503)."""
        try:
            await self._files.delete(job.file_names)
            last = await self._store.delete(job)
            await self._files.delete(last.file_names)  # those that were written meanwhile
        except (StoreFailed, StoreRefused) as error:
            raise IngestError(_UNAVAILABLE) from error
