"""One upload under way: checks rows, fills pages, and sends them while more arrive."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH
from services.ingest.dedup import Dedup
from services.ingest.domain.entry import Entry, entry_of
from services.ingest.domain.fault import Fault
from services.ingest.domain.paging import Note, Pager, marks_of, notes_of, sort_out
from services.ingest.domain.rows import Row
from services.ingest.domain.rules import Rules
from services.ingest.header import Header
from services.ingest.outbox import Outbox
from services.ingest.refusal import Refused
from services.ingest.store import Store
from services.ingest.submission import NO_ITEMS, accepted_note
from shared.faults import until_it_passes

WINDOW_BYTES = 1024 * 1024
"""Pages leave together when they are about so large; as much again is on its way meanwhile."""
_SEND_S = 20.0
_AWAY = Fault("broker_away", "The message broker does not answer; nothing was kept. Send the file again.", 503)
_LOST = Fault("try_again", "The upload stood still for too long and was withdrawn. Send the file again.", 503)
_TOO_MANY = Fault("too_many_items", f"A batch takes {MAX_ITEMS_PER_BATCH} items. Split the file.")


class Upload:
    """The state of one upload. After `finish` or `stop` nothing of it runs in the background."""

    def __init__(self, header: Header, rules: Rules, store: Store, outbox: Outbox, dedup: Dedup) -> None:
        self.header = header
        self.begun = False
        """Whether its header is committed, and so has to be finished or withdrawn."""
        self._rules = rules
        self._store = store
        self._outbox = outbox
        self._dedup = dedup
        self._pager = Pager()
        self._pages: list[list[Entry]] = []
        self._number = 0
        self._first: dict[bytes, int] = {}
        self._items = 0
        self._window: list[Note] = []
        self._size = 0
        self._sending: asyncio.Task[None] | None = None

    def take(self, rows: Iterable[Row | Fault]) -> None:
        """Check rows and put them on pages; raises `Refused` at the first that is wrong."""
        for row in rows:
            if isinstance(row, Fault):
                raise Refused(row)
            if self._items >= MAX_ITEMS_PER_BATCH:
                raise Refused(_TOO_MANY.at(row.line))
            entry = entry_of(self._rules, self._items, row.payload, row.raw, row.custom_id)
            if isinstance(entry, Fault):
                raise Refused(entry.at(row.line))
            self._items += 1
            if page := self._pager.add(entry):
                self._pages.append(page)

    async def flush(self) -> None:
        """Write full pages, and send them when they are many."""
        pages, self._pages = self._pages, []
        for page in pages:
            await self._write(page)
        if self._size >= WINDOW_BYTES:
            await self._send()

    async def finish(self, digest: bytes) -> Header | None:
        """Send what is left and commit the end; None when the idempotency key was taken meanwhile."""
        if rest := self._pager.rest():
            self._pages.append(rest)
        await self.flush()
        if not self._items:
            raise Refused(NO_ITEMS)
        header = replace(self.header, state="sealed", items=self._items, pages=self._number, digest=digest)
        accepted = accepted_note(header)
        if self.begun:
            await self._send()
            await self._sent()
            notes = [accepted]
            row_id = await self._store.finish_upload(header, notes)
            if row_id is None:
                raise Refused(_LOST)
        else:
            notes = [*self._window, accepted]
            row_id = await self._store.insert(header, notes)
            if row_id is None:
                return None
        self.begun = False
        await self._outbox.deliver(row_id, notes, header.traceparent)
        if self._number > 1:
            await self._dedup.forget(header.batch_id)
        return header

    async def stop(self) -> None:
        """Give up what is being sent."""
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError, Refused):
                await self._sending

    async def _write(self, page: list[Entry]) -> None:
        marks, known = marks_of(page), {}
        if self._number == 0:
            self._first = marks  # most uploads have one page: then Redis is not needed
        else:
            if self._number == 1:
                await self._dedup.remember(self.header.batch_id, self._first)
            known = await self._dedup.remember(self.header.batch_id, marks)
        done = sort_out(page, known)
        notes = notes_of(self.header.batch_id, self.header.workload, self._number, done)
        self._number += 1
        self._window += notes
        self._size += sum(len(note.body) for note in notes)

    async def _send(self) -> None:
        if not self.begun:
            if not await self._store.begin_upload(self.header):
                raise Refused(
                    Fault("idempotency_in_progress", "The same submission is being received. Wait for its end.", 409)
                )
            self.begun = True
        await self._sent()
        window, self._window, self._size = self._window, [], 0
        self._sending = asyncio.create_task(self._persist(window))

    async def _sent(self) -> None:
        if self._sending is not None:
            sending, self._sending = self._sending, None
            await sending

    async def _persist(self, window: list[Note]) -> None:
        try:
            async with asyncio.timeout(_SEND_S):
                await until_it_passes(lambda: self._outbox.send(window, self.header.traceparent), "upload")
        except TimeoutError as error:
            raise Refused(_AWAY) from error
