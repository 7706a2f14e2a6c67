"""Takes batches of any length from a stream, in constant memory: pages leave as they fill, the batch is announced last.

A short upload is committed whole, like a command. A longer one has a header with a lease from its first pages on; if
it breaks off, or has a bad line, it is withdrawn and nothing of it ever runs. It is never resumed: what comes again
under its key is a new batch.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import structlog

from batchyard_contracts.v1.commands import CommandAccepted
from batchyard_contracts.v1.flow import BatchWithdrawn
from batchyard_contracts.v1.values import Notify, Priority
from services.ingest.dedup import Dedup
from services.ingest.domain.paging import Note
from services.ingest.domain.rows import Reader
from services.ingest.header import Header
from services.ingest.outbox import Outbox
from services.ingest.refusal import Refused
from services.ingest.registry import Announced, Registry
from services.ingest.store import Store
from services.ingest.submission import BUSY, replay
from services.ingest.upload import Upload
from shared.faults import is_passing
from shared.telemetry import traceparent

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Options:
    """What is said of an upload beside its items. `form` is the format, for telling one upload from another."""

    workload: str
    form: str
    priority: Priority = "normal"
    name: str | None = None
    idempotency_key: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    notify: Notify = field(default_factory=Notify)


class Uploads:
    """Receives streams of items."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        registry: Registry,
        dedup: Dedup,
        new_id: Callable[[], UUID],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._registry = registry
        self._dedup = dedup
        self._new_id = new_id
        self._clock = clock
        self._active: dict[UUID, Upload] = {}

    async def receive(
        self,
        owner: str,
        options: Options,
        reader_for: Callable[[Announced], Reader],
        chunks: AsyncIterator[bytes],
    ) -> CommandAccepted:
        """Take a batch; raises `Refused`. Whatever goes wrong, also with `chunks`, nothing of it remains."""
        if self._outbox.full:
            raise Refused(BUSY)
        announced = await self._registry.get(options.workload)
        header = self._header(owner, options)
        said = repr((options.form, options.workload, options.priority, options.name, options.labels, options.notify))
        digest = blake2b(said.encode(), digest_size=16)
        if options.idempotency_key is not None:
            same = await self._store.same(owner, key=options.idempotency_key)
            if same and not await self._superseded(same[0]):
                return replay(await _drained(header, digest, chunks), same)
        upload = Upload(header, announced.rules, self._store, self._outbox, self._dedup)
        self._active[header.batch_id] = upload
        try:
            return await self._take(upload, reader_for(announced), chunks, digest)
        except BaseException:
            await self._withdraw(upload)
            raise
        finally:
            del self._active[header.batch_id]

    async def renew(self) -> None:
        """Say that the uploads under way live; to be called well within a lease."""
        if begun := [batch_id for batch_id, upload in self._active.items() if upload.begun]:
            await self._store.renew_uploads(begun)

    async def sweep(self) -> None:
        """Withdraw what nobody receives any more."""
        for batch_id in await self._store.abandoned_uploads():
            await self._withdraw_header(batch_id, only_abandoned=True)

    async def _take(self, upload: Upload, reader: Reader, chunks: AsyncIterator[bytes], digest: Any) -> CommandAccepted:
        async for chunk in chunks:
            digest.update(chunk)
            upload.take(reader.feed(chunk))
            await upload.flush()
        upload.take(reader.end())
        header = await upload.finish(digest.digest())
        if header is None:
            same = await self._store.same(upload.header.owner, key=upload.header.idempotency_key)
            return replay(replace(upload.header, digest=digest.digest()), same)
        log.info("upload accepted", batch_id=str(header.batch_id), items=header.items, workload=header.workload)
        return header.accepted()

    async def _superseded(self, before: Header) -> bool:
        """Whether an earlier upload under the key broke off, and is withdrawn now."""
        if before.state != "receiving" or not before.abandoned:
            return False
        await self._withdraw_header(before.batch_id, only_abandoned=True)
        return True

    async def _withdraw(self, upload: Upload) -> None:
        await upload.stop()
        if upload.begun:
            await self._withdraw_header(upload.header.batch_id, only_abandoned=False)

    async def _withdraw_header(self, batch_id: UUID, *, only_abandoned: bool) -> None:
        message = BatchWithdrawn(batch_id=batch_id)
        notes = [Note(message.type, message.encode())]
        try:
            row_id = await self._store.withdraw_upload(batch_id, notes, only_abandoned=only_abandoned)
        except Exception as error:
            if not is_passing(error):
                raise
            log.warning("left to the sweep", batch_id=str(batch_id), error=f"{type(error).__name__}: {error}")
            return
        if row_id is not None:
            log.info("upload withdrawn", batch_id=str(batch_id))
            await self._outbox.deliver(row_id, notes, None)
            await self._dedup.forget(batch_id)

    def _header(self, owner: str, options: Options) -> Header:
        return Header(
            batch_id=self._new_id(),
            owner=owner,
            workload=options.workload,
            priority=options.priority,
            name=options.name,
            labels=dict(options.labels),
            notify=options.notify,
            state="receiving",
            accepted_at=self._clock(),
            idempotency_key=options.idempotency_key,
            traceparent=traceparent(),
        )


async def _drained(header: Header, digest: Any, chunks: AsyncIterator[bytes]) -> Header:
    """Read a body only to compare it."""
    async for chunk in chunks:
        digest.update(chunk)
    return replace(header, digest=digest.digest())
