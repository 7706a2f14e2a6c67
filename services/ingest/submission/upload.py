"""One upload in progress: validates rows, fills pages, and publishes them while more rows arrive.

An upload that fits into one command is accepted like one: entirely or not at all. A longer one becomes an open batch
whose pages run while the rest arrives. Pages are recorded as assigned before they are published, so that a receiver
that continues the upload after a crash knows what may be running already, and publishes nothing else in its place.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.item import ValidatedItem, validate_item
from services.ingest.domain.item_validator import ItemValidator
from services.ingest.domain.pager import EncodedMessage, Pager, deduplicate, encode_page, fingerprints_of
from services.ingest.domain.readers.rows import Row
from services.ingest.domain.rejection import Rejection, RejectionList
from services.ingest.domain.upload_digest import UploadPosition, extend_digest
from services.ingest.domain.volume import Volume, volume_of
from services.ingest.persistence.store import BatchStore, outbox_messages
from services.ingest.submission.announcement import accepted_message, sealed_messages
from services.ingest.submission.backpressure import Backpressure
from services.ingest.submission.dedup_index import DedupIndex
from services.ingest.submission.group_commit import GroupCommit
from services.ingest.submission.seal import sealed_message
from services.ingest.submission.submit import NO_ITEMS, SUBMISSION_IN_PROGRESS
from shared.postgres.outbox import Outbox
from shared.runtime.transient import retry_transient

WINDOW_BYTES = 1024 * 1024
"""Size at which a window of pages is published; as much again is in transit meanwhile."""
WINDOW_INTERVAL_S = 0.5
"""Longest time in seconds that a page of a slow upload waits for its window to fill."""
_SEND_TIMEOUT_S = 20.0
_SUSPEND_TIMEOUT_S = 2.0
CONFLICT = "idempotency_conflict"
BROKER_UNAVAILABLE = Rejection(
    "broker_unavailable", "The message broker or the database is unavailable. Try again in a moment.", 503
)
SUPERSEDED = Rejection(
    "upload_superseded", "Meanwhile the batch was cancelled, sealed, or continued by another upload.", 409
)


class Upload:
    """State of one upload. After `finish` or `suspend` it has no background task."""

    def __init__(
        self,
        header: BatchHeader,
        receiver: UUID,
        seed: bytes,
        validator: ItemValidator,
        *,
        store: BatchStore,
        commit: GroupCommit,
        outbox: Outbox,
        dedup_index: DedupIndex,
        backpressure: Backpressure,
    ) -> None:
        """Continue an interrupted upload when `header.confirmed` is set; otherwise nothing has been committed yet."""
        self.header = header
        self.receiver = receiver
        self.is_open = header.confirmed is not None
        """True when there is an open batch that outlives this upload."""
        self._validator = validator
        self._store = store
        self._commit = commit
        self._outbox = outbox
        self._dedup_index = dedup_index
        self._backpressure = backpressure
        self._pager = Pager()
        self._pages: list[list[ValidatedItem]] = []
        self._row_count = 0
        self.rejections = RejectionList()
        """Rejections of the invalid rows so far."""
        self._position = UploadPosition(0, 0, seed)
        self._confirmed = header.confirmed or self._position
        self._assigned = header.assigned if header.confirmed else self._position
        self._size = 0
        self._assigned_size = header.size if header.confirmed else 0
        self._first_fingerprints: dict[bytes, int] = {}
        self._window: list[EncodedMessage] = []
        self._window_bytes = 0
        self._window_sent_at = time.monotonic()
        self._sending: asyncio.Task[None] | None = None
        self._unsent: list[EncodedMessage] = []

    @property
    def items(self) -> int:
        """Number of items that the batch has, even if the rest of the upload is lost."""
        return max(self._assigned.items, self._position.items)

    @property
    def _unassigned(self) -> Volume:
        """Volume of the items that are encoded and not yet assigned for publishing."""
        reached = Volume(self._position.items, self._size)
        return reached - Volume(self._assigned.items, self._assigned_size)

    def add_rows(self, rows: Iterable[Row | Rejection]) -> None:
        """Validate rows, and add them to pages, up to the first invalid one; the others are only validated. Raises
        `IngestError` at a row after which none can be read."""
        validator, pager = self._validator, self._pager
        for row in rows:
            self._row_count += 1
            if isinstance(row, Rejection):
                self._reject(row)
            elif too_many := validator.check_count(self._row_count):
                self._reject(replace(too_many, line=row.line, is_final=True))
            elif self.rejections.count:
                self._check(row)
            else:
                item = validate_item(validator, self._row_count - 1, row.payload, row.raw, row.custom_id)
                if isinstance(item, Rejection):
                    self._reject(item.at(row.line))
                elif page := pager.add(item):
                    self._pages.append(page)

    def check_rows(self) -> None:
        """Raise `IngestError`, which lists the invalid rows, when there are any."""
        if rejection := self.rejections.summary():
            raise IngestError(rejection)

    def _check(self, row: Row) -> None:
        """Validate a row that follows an invalid one: it is no item, since nothing of the upload is kept from there."""
        explain = self.rejections.has_room
        item = validate_item(self._validator, 0, row.payload, row.raw, row.custom_id, explain=explain)
        if isinstance(item, Rejection):
            self._reject(item.at(row.line))

    def _reject(self, rejection: Rejection) -> None:
        self.rejections.add(rejection)
        if rejection.is_final:
            self.check_rows()

    async def flush(self) -> None:
        """Encode full pages, and publish them when the window is full or old; raises `IngestError`."""
        pages, self._pages = self._pages, []
        for page in pages:
            await self._encode(page)
            if not self.is_open:
                if self._position.items >= MAX_ITEMS_PER_COMMAND or self._window_bytes >= MAX_MESSAGE_BYTES:
                    await self._open_batch()
            elif self._window_bytes >= WINDOW_BYTES:
                await self._send_window()
        if self.is_open and self._window and time.monotonic() - self._window_sent_at > WINDOW_INTERVAL_S:
            await self._send_window()

    async def finish(self) -> BatchHeader | None:
        """Commit the end with the remaining pages; None when the idempotency key was taken meanwhile. Raises
        `IngestError`."""
        self.check_rows()
        await self.flush()
        await self._finish_sending()
        if rest := self._pager.drain():
            await self._encode(rest)
        if not self._row_count:
            raise IngestError(NO_ITEMS)
        if self._position.pages < self._assigned.pages:
            raise IngestError(self._mismatch(f"has only {self._position.items} items"))
        items, pages, digest = self._position
        header = replace(
            self.header, state="sealed", items=items, size=self._size, pages=pages, digest=digest, confirmed=None
        )
        if self.is_open:
            messages = [*self._window, sealed_message(header.batch_id, items)]
            posted = await self._store.seal_upload(header, self.receiver, messages)
            if posted is None:
                raise IngestError(SUPERSEDED)
            self._backpressure.record_accepted(header.owner, self._unassigned)
            self.is_open = False
            await self._outbox.deliver(posted)
        else:
            self._backpressure.check(header.owner, header.volume)
            with self._backpressure.reserve(header.owner, header.volume) as accept:
                messages = sealed_messages(header, self._validator, self._window)
                if not await self._commit.insert(header, messages, accept):
                    self.header = header
                    return None
        if pages > 1:
            await self._dedup_index.delete(header.batch_id)
        return header

    async def suspend(self) -> None:
        """Commit the full pages, and leave the batch open for a continuation. Does not wait for the broker."""
        if self._sending is not None:
            done, _ = await asyncio.wait({self._sending}, timeout=_SUSPEND_TIMEOUT_S)
            if not done:
                self._sending.cancel()
                await asyncio.wait({self._sending})
            elif not self._sending.cancelled():
                self._sending.exception()  # retrieved, so that asyncio does not log it; `_unsent` has the messages
        if not self.is_open:
            return
        is_caught_up = self._position.pages >= self._assigned.pages
        confirmed, assigned = (self._position, self._position) if is_caught_up else (self._confirmed, self._assigned)
        messages = [*self._unsent, *self._window] if is_caught_up else []
        posted = await self._store.suspend_upload(self.header, self.receiver, confirmed, assigned, self._size, messages)
        if posted is not None:
            await self._outbox.deliver(posted)

    async def _encode(self, page: list[ValidatedItem]) -> None:
        number = self._position.pages
        reached = UploadPosition(
            self._position.items + len(page), number + 1, extend_digest(self._position.digest, page)
        )
        if any(
            reached.pages == position.pages and reached != position for position in (self._confirmed, self._assigned)
        ):
            raise IngestError(self._mismatch("starts with other items"))
        self._position = reached
        self._size += volume_of(page).size
        if number < self._confirmed.pages:
            return
        fingerprints, known = fingerprints_of(page), {}
        if number == 0:
            self._first_fingerprints = fingerprints  # an upload of one page does not need Redis
        else:
            if number == 1:
                await self._dedup_index.add(self.header.batch_id, self._first_fingerprints)
            known = await self._dedup_index.add(self.header.batch_id, fingerprints)
        header, deduplicated = self.header, deduplicate(page, known)
        messages = encode_page(
            header.batch_id, header.workload, number, deduplicated, with_keys=header.reuse.has_claims
        )
        self._window += messages
        self._window_bytes += sum(len(message.body) for message in messages)

    async def _open_batch(self) -> None:
        await self._backpressure.wait_for_room(self.header.owner, self._unassigned)
        items, pages, digest = self._position
        header = replace(self.header, state="open", items=items, size=self._size, pages=pages, digest=digest)
        messages = [accepted_message(header, self._validator), *self._window]
        posted = await self._store.open_upload(header, self.receiver, messages)
        if posted is None:
            raise IngestError(SUBMISSION_IN_PROGRESS)
        self.header, self.is_open = header, True
        self._confirmed = self._assigned = self._position
        self._assigned_size = self._size
        self._backpressure.record_accepted(header.owner, header.volume)
        self._take_window()
        await self._outbox.deliver(posted)

    async def _send_window(self) -> None:
        """Publish the window once the previous one is confirmed: a slow broker slows the reading of the upload."""
        if self._position.pages < self._assigned.pages:
            return  # these pages were assigned before, and have to be compared first
        await self._finish_sending()
        added = self._unassigned
        await self._backpressure.wait_for_room(self.header.owner, added)
        self._backpressure.record_accepted(self.header.owner, added)
        self._assigned, self._assigned_size, self._unsent = self._position, self._size, self._take_window()
        self._sending = asyncio.create_task(self._publish(self._unsent, self._assigned, self._size))

    def _take_window(self) -> list[EncodedMessage]:
        window, self._window, self._window_bytes = self._window, [], 0
        self._window_sent_at = time.monotonic()
        return window

    async def _finish_sending(self) -> None:
        if self._sending is not None:
            await asyncio.shield(self._sending)
            self._sending = None

    async def _publish(self, window: list[EncodedMessage], assigned: UploadPosition, size: int) -> None:
        async def attempt() -> None:
            batch_id = self.header.batch_id
            if not await self._store.assign_pages(batch_id, self.receiver, self._confirmed, assigned, size):
                raise IngestError(SUPERSEDED)
            await self._outbox.send(outbox_messages(window, self.header.traceparent))

        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                await retry_transient(attempt, "upload")
        except TimeoutError as error:
            raise IngestError(BROKER_UNAVAILABLE) from error
        self._confirmed, self._unsent = assigned, []

    def _mismatch(self, how: str) -> Rejection:
        return Rejection(
            CONFLICT,
            f"The upload under this key has {self._assigned.items} items already, and this one {how}. Send the same "
            "items first, or use a new key.",
            409,
        )
