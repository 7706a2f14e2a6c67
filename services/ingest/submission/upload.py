"""One upload under way: checks rows, fills pages, and passes them on while more arrive.

What would fit into one command is taken like one: whole or not at all. A longer upload becomes an open batch, whose
pages run while the rest comes in. Before pages are published they are recorded as given out, so that whoever continues
the upload after a crash knows what may be running already, and gives out nothing else in its place.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND
from services.ingest.domain.batch import Header
from services.ingest.domain.fault import Fault
from services.ingest.domain.item import Entry, entry_of
from services.ingest.domain.item_validator import Rules
from services.ingest.domain.pager import Note, Pager, marks_of, notes_of, sort_out
from services.ingest.domain.readers.rows import Row
from services.ingest.domain.refused import Refused
from services.ingest.domain.upload_digest import Mark, link
from services.ingest.persistence.outbox import Outbox
from services.ingest.persistence.store import Store
from services.ingest.submission.backpressure import Load
from services.ingest.submission.dedup_index import Dedup
from services.ingest.submission.seal import sealed_note
from services.ingest.submission.submit import IN_PROGRESS, NO_ITEMS, accepted_note
from shared.runtime.transient import retry_transient

WINDOW_BYTES = 1024 * 1024
"""Pages leave together when they are about so large; as much again is on its way meanwhile."""
WINDOW_S = 0.5
"""Of a slow upload they leave after so long."""
_SEND_S = 20.0
_SETTLE_S = 2.0
CONFLICT = "idempotency_conflict"
AWAY = Fault(
    "broker_unavailable", "The message broker or the database takes nothing at the moment. Try again soon.", 503
)
SUPERSEDED = Fault(
    "upload_superseded", "The batch was cancelled, sealed or continued by another upload meanwhile.", 409
)


class Upload:
    """The state of one upload. After `finish` or `hold` nothing of it runs in the background."""

    def __init__(
        self,
        header: Header,
        receiver: UUID,
        seed: bytes,
        rules: Rules,
        *,
        store: Store,
        outbox: Outbox,
        dedup: Dedup,
        load: Load,
    ) -> None:
        """`header.sent` is set when this upload continues one that broke off, else nothing is committed yet."""
        self.header = header
        self.receiver = receiver
        self.opened = header.sent is not None
        """Whether there is a batch that outlives this upload."""
        self._rules = rules
        self._store = store
        self._outbox = outbox
        self._dedup = dedup
        self._load = load
        self._pager = Pager()
        self._pages: list[list[Entry]] = []
        self._rows = 0
        self._now = Mark(0, 0, seed)
        self._sent = header.sent or self._now
        self._given = header.given if header.sent else self._now
        self._first: dict[bytes, int] = {}
        self._window: list[Note] = []
        self._size = 0
        self._left_at = time.monotonic()
        self._sending: asyncio.Task[None] | None = None
        self._unsent: list[Note] = []

    @property
    def items(self) -> int:
        """How many items the batch has, whatever becomes of the rest."""
        return max(self._given.items, self._now.items)

    def take(self, rows: Iterable[Row | Fault]) -> None:
        """Check rows and put them on pages; raises `Refused` at the first that is wrong."""
        for row in rows:
            if isinstance(row, Fault):
                raise Refused(row)
            if crowded := self._rules.crowd(self._rows + 1):
                raise Refused(crowded.at(row.line))
            entry = entry_of(self._rules, self._rows, row.payload, row.raw, row.custom_id)
            if isinstance(entry, Fault):
                raise Refused(entry.at(row.line))
            self._rows += 1
            if page := self._pager.add(entry):
                self._pages.append(page)

    async def flush(self) -> None:
        """Write full pages, and pass them on when they are many or waited for long; raises `Refused`."""
        pages, self._pages = self._pages, []
        for page in pages:
            await self._write(page)
            if not self.opened:
                if self._now.items >= MAX_ITEMS_PER_COMMAND or self._size >= MAX_MESSAGE_BYTES:
                    await self._open()
            elif self._size >= WINDOW_BYTES:
                await self._send()
        if self.opened and self._window and time.monotonic() - self._left_at > WINDOW_S:
            await self._send()

    async def finish(self) -> Header | None:
        """Commit the end with what is left; None when the idempotency key was taken meanwhile; raises `Refused`."""
        await self.flush()
        await self._sent_all()
        if rest := self._pager.rest():
            await self._write(rest)
        if not self._rows:
            raise Refused(NO_ITEMS)
        if self._now.pages < self._given.pages:
            raise Refused(self._differs(f"has only {self._now.items} items"))
        items, pages, digest = self._now
        header = replace(self.header, state="sealed", items=items, pages=pages, digest=digest, sent=None)
        if self.opened:
            notes = [*self._window, sealed_note(header.batch_id, items)]
            row_id = await self._store.seal_upload(header, self.receiver, notes)
            if row_id is None:
                raise Refused(SUPERSEDED)
            self._load.took(header.owner, items - self._given.items)
        else:
            self._load.check(header.owner, items)
            notes = [*self._window, accepted_note(header, self._rules)]
            row_id = await self._store.insert(header, notes)
            if row_id is None:
                self.header = header
                return None
            self._load.took(header.owner, items)
        self.opened = False
        await self._outbox.deliver(row_id, notes, header.traceparent)
        if pages > 1:
            await self._dedup.forget(header.batch_id)
        return header

    async def hold(self) -> None:
        """Commit that it stops here: full pages are kept and sent, the batch stays open. Never waits for the broker."""
        if self._sending is not None:
            done, _ = await asyncio.wait({self._sending}, timeout=_SETTLE_S)
            if not done:
                self._sending.cancel()
                await asyncio.wait({self._sending})
            elif not self._sending.cancelled():
                self._sending.exception()  # what was not sent is in `_unsent`
        if not self.opened:
            return
        whole = self._now.pages >= self._given.pages
        sent, given = (self._now, self._now) if whole else (self._sent, self._given)
        notes = [*self._unsent, *self._window] if whole else []
        row_id = await self._store.hold_upload(self.header.batch_id, self.receiver, sent, given, notes)
        if row_id is not None:
            await self._outbox.deliver(row_id, notes, self.header.traceparent)

    async def _write(self, page: list[Entry]) -> None:
        number = self._now.pages
        now = Mark(self._now.items + len(page), number + 1, link(self._now.digest, page))
        if any(now.pages == mark.pages and now != mark for mark in (self._sent, self._given)):
            raise Refused(self._differs("begins with other items"))
        self._now = now
        if number < self._sent.pages:
            return
        marks, known = marks_of(page), {}
        if number == 0:
            self._first = marks  # most uploads have one page: then Redis is not needed
        else:
            if number == 1:
                await self._dedup.remember(self.header.batch_id, self._first)
            known = await self._dedup.remember(self.header.batch_id, marks)
        header, done = self.header, sort_out(page, known)
        notes = notes_of(header.batch_id, header.workload, number, done, keyed=header.reuse.has_claims)
        self._window += notes
        self._size += sum(len(note.body) for note in notes)

    async def _open(self) -> None:
        await self._load.room(self.header.owner, self._now.items)
        items, pages, digest = self._now
        header = replace(self.header, state="open", items=items, pages=pages, digest=digest)
        notes = [accepted_note(header, self._rules), *self._window]
        row_id = await self._store.open_upload(header, self.receiver, notes)
        if row_id is None:
            raise Refused(IN_PROGRESS)
        self.header, self.opened = header, True
        self._sent = self._given = self._now
        self._load.took(header.owner, items)
        self._leave()
        await self._outbox.deliver(row_id, notes, header.traceparent)

    async def _send(self) -> None:
        """Pass the window on, once the one before has arrived: a slow broker slows the reading of the upload."""
        if self._now.pages < self._given.pages:
            return  # not yet known to be the same as what was given out before
        await self._sent_all()
        more = self._now.items - self._given.items
        await self._load.room(self.header.owner, more)
        self._load.took(self.header.owner, more)
        self._given, self._unsent = self._now, self._leave()
        self._sending = asyncio.create_task(self._pass_on(self._unsent, self._given))

    def _leave(self) -> list[Note]:
        window, self._window, self._size = self._window, [], 0
        self._left_at = time.monotonic()
        return window

    async def _sent_all(self) -> None:
        if self._sending is not None:
            await asyncio.shield(self._sending)
            self._sending = None

    async def _pass_on(self, window: list[Note], given: Mark) -> None:
        async def attempt() -> None:
            if not await self._store.claim(self.header.batch_id, self.receiver, self._sent, given):
                raise Refused(SUPERSEDED)
            await self._outbox.send(window, self.header.traceparent)

        try:
            async with asyncio.timeout(_SEND_S):
                await retry_transient(attempt, "upload")
        except TimeoutError as error:
            raise Refused(AWAY) from error
        self._sent, self._unsent = given, []

    def _differs(self, how: str) -> Fault:
        return Fault(
            CONFLICT,
            f"The upload under this key has {self._given.items} items already, and what was sent now {how}. Send the "
            "same items first, or choose a new key.",
            409,
        )
