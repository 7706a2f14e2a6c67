"""Reads the files of one batch into it, from the place on that its progress names.

Items and progress are committed together, so that after a crash another process goes on behind the last item that the
batch has. It reads the file from its start, and compares what it skips. A row that is wrong becomes an item that has
failed, and so does a file that cannot be read: the others are read.
"""

import time
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b

import structlog

from batchyard_contracts.v1.flow import SettledItem
from batchyard_contracts.v1.values import ItemError
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.item import ValidatedItem, validate_item
from services.ingest.domain.item_validator import ItemValidator
from services.ingest.domain.limits import PAGE_BYTES, PAGE_ITEMS
from services.ingest.domain.pager import EncodedMessage
from services.ingest.domain.readers.csv_rows import CsvReader
from services.ingest.domain.readers.ndjson import NdjsonReader
from services.ingest.domain.readers.rows import Reader, Row
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.remote_file import (
    FileAway,
    FileUnreadable,
    ReadingProgress,
    RemoteFile,
    RemoteFilesJob,
    format_of,
    shown_name,
)
from services.ingest.domain.volume import Volume
from services.ingest.persistence.remote_file_store import RemoteFileStore
from services.ingest.persistence.store import BatchStore, LockedBatch
from services.ingest.persistence.workload_registry import RegisteredWorkload
from services.ingest.remote_files.content import FileContent, FileOpener, changed
from services.ingest.submission.backpressure import Backpressure
from services.ingest.submission.dedup_index import DedupIndex
from services.ingest.submission.found_items import FoundItems
from services.ingest.submission.seal import sealed_message
from shared.postgres.outbox import Outbox

log = structlog.get_logger()
_RENEWAL_S, _WINDOW_S = 15.0, 1.0
"""Seconds between two renewals of a claim, and for which items of a slow file wait for others."""
_NO_ITEMS = "The files have no items. Check the address, or cancel the batch."


class ReadingLost(Exception):
    """Another process reads the files by now, or the batch takes no more items."""


class BatchReader:
    """Reader of one claimed batch. `run` raises `ReadingLost`, `FileAway`, and the errors of the database."""

    def __init__(
        self,
        job: RemoteFilesJob,
        header: BatchHeader,
        workload: RegisteredWorkload,
        opener: FileOpener,
        *,
        files: RemoteFileStore,
        batches: BatchStore,
        outbox: Outbox,
        dedup_index: DedupIndex,
        backpressure: Backpressure,
        max_bytes: int,
        read_until: datetime,
    ) -> None:
        self._job, self._header, self._workload, self._opener = job, header, workload, opener
        self._validator: ItemValidator = workload.validator
        self._files, self._batches, self._outbox = files, batches, outbox
        self._dedup_index, self._found_items, self._backpressure = dedup_index, FoundItems(dedup_index), backpressure
        self._max_bytes, self._read_until = max_bytes, read_until
        self.progress: ReadingProgress = job.progress
        """Place up to which the items are committed."""
        self._reached = job.progress
        """Place up to which the items are committed or in the part."""
        self._digest = blake2b(digest_size=16)
        self._valid: list[ValidatedItem] = []
        self._invalid: list[SettledItem] = []
        self._bytes = 0
        self._committed_at = self._renewed_at = time.monotonic()

    async def run(self) -> None:
        """Read the files, and seal the batch."""
        files = await self._listed()
        is_full = False
        while self._reached.file < len(files) and not is_full:
            file = files[self._reached.file]
            try:
                is_full = await self._read(file)
            except FileUnreadable as error:
                is_full = self._fail_file(error.code, f"{shown_name(file.name)}: {error}")
            self._next_file()
        if not self._items:
            self._fail("no_items", _NO_ITEMS)
        await self._commit(is_last=True)

    async def give_up(self, code: str, detail: str) -> None:
        """Let the file that is read count as one that cannot be read; the next attempt begins with the next one."""
        files = self._job.files or ()
        self._drop_part()
        name = files[self._reached.file].name if self._reached.file < len(files) else shown_name(self._job.form.url)
        self._fail(code, f"{shown_name(name)}: {detail}")
        self._next_file()
        is_last = self._reached.file >= len(files)
        if not is_last and (too_many := self._validator.check_count(self._items + 1)):
            self._replace_last(f"{shown_name(name)}: {detail} {too_many.detail}")
            is_last = True
        await self._commit(is_last=is_last)

    @property
    def _items(self) -> int:
        """Number of items that the batch has with those of the part."""
        return self._header.items + len(self._valid) + len(self._invalid)

    async def _listed(self) -> tuple[RemoteFile, ...]:
        if self._job.files is not None:
            return self._job.files
        try:
            files = await self._opener.list_files(self._job.form)
        except FileUnreadable as error:
            self._fail(error.code, f"{shown_name(self._job.form.url)}: {error}")
            files = ()
        if not await self._files.save_files(self._job, files):
            raise ReadingLost
        self._job = replace(self._job, files=files)
        return files

    async def _read(self, file: RemoteFile) -> bool:
        """Add the items of a file; True if the batch has as many as it may have."""
        self._digest = blake2b(digest_size=16)
        async with self._opener.open(self._job.form, file, self._reached.version) as content:
            self._reached = self._reached.model_copy(update={"version": content.version})
            try:
                return await self._read_content(file, content)
            except IngestError as error:  # of what the file is compressed or encoded with
                raise FileUnreadable(error.rejection.code, error.rejection.detail) from error

    async def _read_content(self, file: RemoteFile, content: FileContent) -> bool:
        media_type, chunks = content.decoded(file.name)
        kind = format_of(self._job.form, file.name, media_type)
        schema = self._workload.manifest.item_schema
        reader: Reader = CsvReader(schema) if kind == "csv" else NdjsonReader(schema)
        seen = size = 0
        is_over = False
        while not is_over:
            chunk = await anext(chunks, None)
            is_over = chunk is None
            size += len(chunk or b"")
            self._check_bounds(size)
            for row in reader.finish() if chunk is None else reader.feed(chunk):
                seen += 1
                if self._is_known(row, seen):
                    continue
                if too_many := self._validator.check_count(self._items + 1):
                    self._replace_last(f"{shown_name(file.name)}, line {row.line}: {too_many.detail}")
                    return True
                self._add(row, file)
                if isinstance(row, Rejection) and row.is_final:
                    return False
                await self._commit_if(
                    is_due=len(self._valid) + len(self._invalid) >= PAGE_ITEMS or self._bytes >= PAGE_BYTES
                )
            await self._commit_if(is_due=time.monotonic() - self._committed_at > _WINDOW_S)
            await self._renew()
        if seen < self._reached.rows:
            raise changed()
        return False

    def _check_bounds(self, size: int) -> None:
        if size > self._max_bytes:
            detail = f"It has more than {self._max_bytes} bytes. Split it, or let an operator allow more."
            raise FileUnreadable("file_too_large", f"{detail} (BATCHYARD_REMOTE_FILES_MAX_BYTES)")
        if datetime.now(self._read_until.tzinfo) > self._read_until:
            raise FileUnreadable("file_too_slow", "Its time is over. Split it, or let an operator allow more hours.")

    def _is_known(self, row: Row | Rejection, number: int) -> bool:
        """Tell whether the batch has a row already; raises `FileUnreadable` if it has another one in its place."""
        text = row.raw if isinstance(row, Row) else row.code.encode()
        self._digest.update(len(text).to_bytes(8) + text)
        if number > self._reached.rows:
            return False
        if number == self._reached.rows and self._digest.hexdigest() != self._reached.digest:
            raise changed()
        return True

    def _add(self, row: Row | Rejection, file: RemoteFile) -> None:
        ordinal = self._items
        item = (
            row
            if isinstance(row, Rejection)
            else validate_item(self._validator, ordinal, row.payload, row.raw, row.custom_id)
        )
        update: dict[str, object] = {"rows": self._reached.rows + 1, "digest": self._digest.hexdigest()}
        if isinstance(item, Rejection):
            custom_id = row.custom_id if isinstance(row, Row) else None
            self._fail(item.code, f"{shown_name(file.name)}, line {row.line}: {item.detail}", custom_id)
        else:
            self._valid.append(item)
            self._bytes += len(item.raw)
            update["accepted"] = self._reached.accepted + 1
        self._reached = self._reached.model_copy(update=update)

    def _fail(self, code: str, detail: str, custom_id: str | None = None) -> None:
        """Add an item that has failed."""
        error = ItemError(code=code, message=detail[:2000])
        self._invalid.append(SettledItem(ordinal=self._items, custom_id=custom_id, error=error))
        self._reached = self._reached.model_copy(update={"refused": self._reached.refused + 1})

    def _fail_file(self, code: str, detail: str) -> bool:
        """Add an item for a file that cannot be read; True if the batch has as many as it may have."""
        if too_many := self._validator.check_count(self._items + 1):
            self._replace_last(f"{detail} {too_many.detail}")
            return True
        self._fail(code, detail)
        return False

    def _replace_last(self, detail: str) -> None:
        """Let the last item of a full batch say that there are more; it has not been committed."""
        last = self._items - 1
        if self._valid and self._valid[-1].ordinal == last:
            self._valid.pop()
            self._reached = self._reached.model_copy(update={"accepted": self._reached.accepted - 1})
        else:
            self._invalid.pop()
            self._reached = self._reached.model_copy(update={"refused": self._reached.refused - 1})
        self._fail("too_many_items", detail)

    def _next_file(self) -> None:
        update = {"file": self._reached.file + 1, "rows": 0, "digest": "", "version": None}
        self._reached = self._reached.model_copy(update=update)

    def _drop_part(self) -> None:
        self._valid, self._invalid, self._bytes, self._reached = [], [], 0, self.progress

    async def _renew(self) -> None:
        if time.monotonic() - self._renewed_at > _RENEWAL_S:
            self._renewed_at = time.monotonic()
            if not await self._files.renew(self._job):
                raise ReadingLost

    async def _commit_if(self, *, is_due: bool) -> None:
        """Commit the part when it is due; but not the last item that the batch may have, until the end is known."""
        if is_due and (self._valid or self._invalid) and not self._validator.check_count(self._items + 1):
            await self._commit()

    async def _commit(self, *, is_last: bool = False) -> None:
        """Add the part to the batch, and save how far the files are read, in one transaction."""
        await self._wait_for_room()
        try:
            await self._commit_part(is_last=is_last)
        except IngestError as error:  # too many wait for the batch
            raise FileAway(str(error)) from error

    async def _commit_part(self, *, is_last: bool) -> None:
        self._committed_at = self._renewed_at = time.monotonic()
        reached = self._reached.model_copy(update={"attempts": 0})
        fingerprints: dict[bytes, int] = {}
        async with self._batches.lock(self._job.batch_id, self._job.owner) as locked:
            header = locked.header
            if header is None or header.state != "open" or header.items != self._header.items:
                raise ReadingLost
            if not await self._files.save_progress(locked.connection, self._job, reached):
                raise ReadingLost
            updated, messages = header, list[EncodedMessage]()
            if self._valid or self._invalid:
                updated, messages, fingerprints = await self._found_items.append(
                    locked, header, self._valid, self._invalid, header.next_sequence, bytes.fromhex(reached.digest)
                )
                updated = replace(updated, next_sequence=header.next_sequence + 1)
            if is_last:
                messages.append(await self._seal(locked, updated, reached))
            posted = await locked.add_messages(header, messages)
        self._backpressure.record_accepted(header.owner, updated.volume - header.volume)
        self._header, self.progress, self._reached = updated, reached, reached
        self._valid, self._invalid, self._bytes = [], [], 0
        await self._outbox.deliver(posted)
        if is_last:
            await self._dedup_index.delete(header.batch_id)
        else:
            await self._dedup_index.add(header.batch_id, fingerprints)

    async def _seal(self, locked: LockedBatch, header: BatchHeader, reached: ReadingProgress) -> EncodedMessage:
        read = {"items": header.items, "accepted": reached.accepted, "refused": reached.refused}
        await locked.seal(header.batch_id)
        await locked.record_audit("batch.seal", header, after={**read, "files": len(self._job.files or ())})
        await self._files.delete(locked.connection, self._job)
        log.info("remote files read", batch_id=str(header.batch_id), **read)
        return sealed_message(header.batch_id, header.items)

    async def _wait_for_room(self) -> None:
        """Wait until the part fits into the limits of its owner, and the outbox has room."""
        added = Volume(len(self._valid), self._bytes)
        while True:
            if self._outbox.is_full:
                raise FileAway("The message broker is unavailable.")
            try:
                return await self._backpressure.wait_for_room(self._job.owner, added)
            except IngestError:
                if not await self._files.renew(self._job):
                    raise ReadingLost from None
                header = await self._batches.get(self._job.batch_id, self._job.owner)
                if header is None or header.state != "open":
                    raise ReadingLost from None
