"""Writes exports part by part.

A part is saved with the cursor behind it, so that after a crash another process writes the part that was begun anew,
and nothing is missing or twice. The manifest comes last, and after it the file with its digest.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import ClassVar

import orjson
import structlog

from batchyard_contracts.v1.manifest import Manifest
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.export_job import (
    MANIFEST,
    MANIFEST_DIGEST,
    MEDIA_TYPES,
    PART_BYTES,
    ExportJob,
    ExportPart,
    ExportProgress,
    digest_line,
    sha256_of,
)
from services.ingest.domain.ingest_error import NOT_FOUND, IngestError
from services.ingest.exports.csv import csv_table
from services.ingest.exports.ndjson import ndjson_lines
from services.ingest.exports.parquet import parquet_file
from services.ingest.persistence.export_store import ExportStore
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.queries.result_page import ResultPage, StreamedPage
from services.ingest.queries.result_stream import ResultStream, StreamSelection
from shared.artefacts.store import ArtefactStore, Measured, StoreFailed, StoreRefused
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_PAUSE = timedelta(seconds=5)
_MAX_ATTEMPTS = 60
"""Attempts in a row, five seconds apart, after which an export fails whose store or aggregator is away."""
_AWAY = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


class ClaimLost(Exception):
    """Another process writes the export by now."""


class ExportRunner:
    """Step of every replica, see above."""

    INTERVAL_S: ClassVar[float] = 0.5

    def __init__(
        self,
        store: ExportStore,
        batches: BatchStore,
        aggregator: AggregatorClient,
        registry: WorkloadRegistry,
        files: ArtefactStore,
    ) -> None:
        self._store, self._batches, self._aggregator = store, batches, aggregator
        self._registry, self._files = registry, files

    async def update(self) -> float | None:
        """Write one part of an export; return 0 if there may be more."""
        job = await self._store.claim()
        if job is None:
            return None
        progress = job.progress
        try:
            progress, has_more = await self._write_part(job)
            if not has_more:
                progress = await self._write_manifest(job, progress)
            if not await self._store.save(job, progress, has_ended=not has_more):
                raise ClaimLost
        except ClaimLost:
            await self._leave(job)
        except StoreRefused as error:
            await self._store.save(job, progress, error=str(error), has_ended=True)
        except (StoreFailed, IngestError) as error:
            await self._postpone(job, error)
        except Exception as error:
            if is_transient(error):
                raise
            log.exception("an export met a defect", export_id=str(job.export_id))
            reason = f"A defect: {type(error).__name__}. The log has the details."
            await self._store.save(job, job.progress, error=reason, has_ended=True)
        return 0.0

    async def _leave(self, job: ExportJob) -> None:
        """Leave an export to the process that has it by now, without the part that was written too late; of one that
        was deleted, delete all files."""
        log.info("an export is left", export_id=str(job.export_id))
        is_deleted = await self._store.get(job.owner, job.batch_id, job.export_id) is None
        try:
            await self._files.delete(job.file_names if is_deleted else [f"{job.folder}/{job.next_name}"])
        except (StoreFailed, StoreRefused) as error:
            log.warning("files of an export stay", export_id=str(job.export_id), error=str(error))

    async def _postpone(self, job: ExportJob, error: StoreFailed | IngestError) -> None:
        """Let a part be tried again after a pause while something is away; let the export fail otherwise, or in the
        end."""
        is_away = isinstance(error, StoreFailed) or error.rejection.status in _AWAY
        attempts = job.progress.attempts + 1
        if is_away and attempts < _MAX_ATTEMPTS:
            log.warning("an export waits", export_id=str(job.export_id), error=str(error))
            later = job.progress.model_copy(update={"attempts": attempts})
            await self._store.save(job, later, pause=_PAUSE)
        else:
            await self._store.save(job, job.progress, error=str(error), has_ended=True)

    async def _write_part(self, job: ExportJob) -> tuple[ExportProgress, bool]:
        """Write the next part; return the progress after it, and whether outcomes are left."""
        progress = job.progress if job.progress.parts else await self._begun(job)
        form = job.form
        selection = StreamSelection(
            job.owner,
            job.batch_id,
            "ordinal",
            progress.cursor,
            form.status,
            form.error_code,
            form.cause,
            round=form.round,
        )
        part = _PartPages(ResultStream(self._aggregator, selection).pages(), progress.cursor, PART_BYTES)

        async def pages() -> AsyncIterator[ResultPage]:
            async for page in part.pages():
                if not await self._store.renew(job):
                    raise ClaimLost
                yield page

        encoded = Measured(await self._encode(job, pages()))
        media_type = MEDIA_TYPES[form.format]
        await self._files.keep(f"{job.folder}/{job.next_name}", aiter(encoded), media_type)
        written = ExportPart(
            name=job.next_name,
            rows=part.rows,
            bytes=encoded.bytes,
            sha256=encoded.sha256,
            first=part.first,
            last=part.last,
        )
        counts = {
            name: progress.counts.get(name, 0) + part.counts.get(name, 0) for name in progress.counts | part.counts
        }
        changes = {"parts": [*progress.parts, written], "counts": counts, "cursor": part.cursor, "attempts": 0}
        return progress.model_copy(update=changes), part.has_more

    async def _begun(self, job: ExportJob) -> ExportProgress:
        """Return the progress of an export that begins: what is known of its batch."""
        state = await self._aggregator.state(job.owner, job.batch_id)
        if state is None:
            return job.progress
        had_ended = state.status == "finished" or (job.form.round is not None and job.form.round < state.round)
        return job.progress.model_copy(update={"round": state.round, "had_ended": had_ended})

    async def _encode(self, job: ExportJob, pages: AsyncIterator[ResultPage]) -> AsyncIterator[bytes]:
        if job.form.format == "ndjson":
            return ndjson_lines(pages)
        schema = (await self._manifest_of(job)).result_schema
        if job.form.format == "parquet":
            return parquet_file(pages, schema)
        return csv_table(pages, schema, is_part=True)

    async def _write_manifest(self, job: ExportJob, progress: ExportProgress) -> ExportProgress:
        """Write the manifest and its digest; return the progress of the complete export."""
        state = await self._aggregator.state(job.owner, job.batch_id)
        is_unchanged = state is not None and (
            state.round == progress.round or (job.form.round is not None and job.form.round < state.round)
        )
        progress = progress.model_copy(update={"is_complete": progress.had_ended and is_unchanged})
        manifest = await self._manifest_of(job)
        header = await self._header_of(job)
        document = replace(job, progress=progress).manifest(manifest.name, manifest.result_schema, header.metadata)
        body = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        digest = sha256_of(body)
        if not await self._store.renew(job):
            raise ClaimLost
        await self._files.keep(f"{job.folder}/{MANIFEST}", _whole(body), "application/json")
        await self._files.keep(f"{job.folder}/{MANIFEST_DIGEST}", _whole(digest_line(digest)), "text/plain")
        return progress.model_copy(update={"manifest_sha256": digest, "manifest_bytes": len(body)})

    async def _manifest_of(self, job: ExportJob) -> Manifest:
        return (await self._registry.get((await self._header_of(job)).workload)).manifest

    async def _header_of(self, job: ExportJob) -> BatchHeader:
        header = await self._batches.get(job.batch_id, job.owner)
        if header is None:
            raise IngestError(NOT_FOUND)
        return header


class _PartPages:
    """Pages of one part, and what is in them."""

    def __init__(self, pages: AsyncGenerator[StreamedPage, None], cursor: str | None, most_bytes: int) -> None:
        self._pages, self._most_bytes = pages, most_bytes
        self.cursor = cursor
        """Cursor behind the part."""
        self.has_more = False
        self.rows = 0
        self.first: int | None = None
        self.last: int | None = None
        self.counts: Counter[str] = Counter()

    async def pages(self) -> AsyncIterator[ResultPage]:
        """Yield the pages until the part has its size."""
        size = 0
        async with aclosing(self._pages):
            async for page in self._pages:
                await asyncio.to_thread(self._count, page)
                self.cursor, self.has_more = page.cursor or self.cursor, page.has_more
                size += page.size()
                yield page
                if size >= self._most_bytes:
                    return

    def _count(self, page: ResultPage) -> None:
        for outcome in page.outcomes():
            self.counts[outcome.status] += 1
            self.first, self.last = outcome.ordinal if self.first is None else self.first, outcome.ordinal
            self.rows += 1


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
