"""Takes batches of any length from a stream, in constant memory, and goes on with those that broke off.

The same items again under the same key go on where the upload stopped: what the batch has is recognised page by page,
skipped, and not run twice.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import structlog

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from services.ingest.domain.batch import Header
from services.ingest.domain.command_validation import fault_in_terms
from services.ingest.domain.fault import Fault
from services.ingest.domain.item import Entry
from services.ingest.domain.pager import Pager
from services.ingest.domain.readers.rows import Reader, Row
from services.ingest.domain.refused import Refused
from services.ingest.domain.upload_digest import begin, link
from services.ingest.persistence.outbox import Outbox
from services.ingest.persistence.store import Store
from services.ingest.persistence.workload_registry import Announced, Registry, check_ready
from services.ingest.submission.backpressure import Load
from services.ingest.submission.dedup_index import Dedup
from services.ingest.submission.submit import BUSY, IN_PROGRESS, check_dedup, replay
from services.ingest.submission.upload import AWAY, CONFLICT, SUPERSEDED, Upload
from shared.observability.telemetry import traceparent
from shared.runtime.errors import PublishFailed
from shared.runtime.transient import is_transient

log = structlog.get_logger()


class Uploads:
    """Receives streams of items."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        registry: Registry,
        dedup: Dedup,
        load: Load,
        new_id: Callable[[], UUID],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._registry = registry
        self._dedup = dedup
        self._load = load
        self._new_id = new_id
        self._clock = clock
        self._active: set[UUID] = set()

    async def receive(
        self,
        owner: str,
        form: str,
        command: BatchSubmit,
        reader_for: Callable[[Announced], Reader],
        chunks: AsyncIterator[bytes],
    ) -> CommandAccepted:
        """Take a batch, or the rest of one; raises `Refused`. The items, in the format `form`, come as `chunks`.

        A short upload that fails, also by `chunks`, leaves nothing. A longer one leaves an open batch with all of its
        full pages; the refusal names it.
        """
        if self._outbox.full:
            raise Refused(BUSY)
        announced = await self._registry.get(command.workload)
        check_dedup(command, announced)
        header = Header.asked(
            command.batch_id or self._new_id(), owner, command, "sealed", self._clock(), traceparent()
        )
        seed, receiver = _seed(form, command), self._new_id()
        if command.idempotency_key is not None:
            same = await self._store.same(owner, key=command.idempotency_key)
            if same and same[0].sent is None:
                digest = await _digest(seed, reader_for(announced), chunks)
                return replay(replace(header, digest=digest), same)
            if same:
                broken_off = await self._store.resume_upload(same[0].batch_id, receiver)
                if broken_off is None:
                    raise Refused(IN_PROGRESS)
                header = broken_off
                log.info("upload continues", batch_id=str(header.batch_id), items=header.items)
        if header.sent is None:
            self._check(header, announced)
        upload = Upload(
            header,
            receiver,
            seed,
            announced.rules,
            store=self._store,
            outbox=self._outbox,
            dedup=self._dedup,
            load=self._load,
        )
        self._active.add(receiver)
        try:
            return await self._take(upload, reader_for(announced), chunks)
        except BaseException as error:
            if not upload.opened:
                raise
            await self._hold(upload)
            fault = _fault(error)
            if fault is None:
                raise
            raise Refused(_broken_off(fault, upload)) from error
        finally:
            self._active.discard(receiver)

    def _check(self, header: Header, announced: Announced) -> None:
        """Raises `Refused` when a new upload cannot be taken."""
        check_ready(announced)
        if fault := fault_in_terms(header.terms, header.accepted_at):
            raise Refused(fault)
        self._load.check(header.owner, 1)

    async def renew(self) -> None:
        """Say that the uploads under way live; to be called well within a lease."""
        if self._active:
            await self._store.renew_uploads(list(self._active))

    async def _take(self, upload: Upload, reader: Reader, chunks: AsyncIterator[bytes]) -> CommandAccepted:
        async for rows in _all(reader, chunks):
            try:
                upload.take(rows)
            finally:
                await upload.flush()  # full pages before a bad line are kept
        header = await upload.finish()
        if header is None:
            key, batch_id = upload.header.idempotency_key, upload.header.batch_id
            return replay(upload.header, await self._store.same(upload.header.owner, batch_id, key))
        log.info("upload accepted", batch_id=str(header.batch_id), items=header.items, workload=header.workload)
        return header.accepted()

    async def _hold(self, upload: Upload) -> None:
        try:
            await upload.hold()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("upload left to its lease", error=f"{type(error).__name__}: {error}")
        log.info("upload broke off", batch_id=str(upload.header.batch_id), items=upload.items)


def _seed(form: str, command: BatchSubmit) -> bytes:
    """The same for two uploads that ask for the same; `form` is the format of their items."""
    return begin(form + command.model_dump_json(exclude={"batch_id", "idempotency_key"}))


async def _digest(seed: bytes, reader: Reader, chunks: AsyncIterator[bytes]) -> bytes:
    """Read a body only to compare it; raises `Refused` when it cannot be read."""
    pager, digest = Pager(), seed
    async for rows in _all(reader, chunks):
        for row in rows:
            if isinstance(row, Fault):
                raise Refused(row)
            if page := pager.add(Entry(0, row.raw, row.custom_id, "", None)):
                digest = link(digest, page)
    rest = pager.rest()
    return link(digest, rest) if rest else digest


async def _all(reader: Reader, chunks: AsyncIterator[bytes]) -> AsyncIterator[Iterator[Row | Fault]]:
    async for chunk in chunks:
        yield reader.feed(chunk)
    yield reader.end()


def _fault(error: BaseException) -> Fault | None:
    if isinstance(error, Refused):
        return error.fault
    passing = isinstance(error, Exception) and (is_transient(error) or isinstance(error, PublishFailed))
    return AWAY if passing else None


def _broken_off(fault: Fault, upload: Upload) -> Fault:
    """The same fault, with what there is of the upload and how to go on."""
    if fault.code in {CONFLICT, SUPERSEDED.code}:
        return fault
    how = (
        "send the same items again from the first one under the same Idempotency-Key"
        if upload.header.idempotency_key is not None
        else "append the items that follow"
    )
    detail = (
        f"{fault.detail} The batch {upload.header.batch_id} stays open with the first {upload.items} items, which run. "
        f"To go on, {how}; or seal the batch, or cancel it."
    )
    return replace(fault, detail=detail, batch_id=upload.header.batch_id, items=upload.items)
