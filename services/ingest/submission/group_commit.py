"""Commits submissions that come together in one transaction, and publishes their messages together.

A submission that comes alone is committed at once. Those that come while a commit is under way gather, and go together
into the next one, an owner's after another's. There is no timer.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import structlog

from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.pager import EncodedMessage
from services.ingest.persistence.store import BatchStore, outbox_messages
from shared.postgres.outbox import Outbox, OutboxMessage
from shared.runtime.owner_lines import OwnerLines
from shared.runtime.transient import is_transient

log = structlog.get_logger()
MAX_SUBMISSIONS = 100
"""Largest number of submissions in one transaction."""
MAX_BYTES = 1024 * 1024
"""Size in bytes of its messages above which no further submission joins a transaction."""
_LOCKED = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
"""Transient errors that one submission may cause for the others, when another process writes under its identity."""


@dataclass(frozen=True, slots=True)
class _Submission:
    header: BatchHeader
    messages: list[OutboxMessage]
    on_commit: Callable[[], None]
    accepted: asyncio.Future[bool]

    @property
    def size(self) -> int:
        return sum(len(message.body) for message in self.messages)

    def end(self, result: bool | Exception) -> None:
        """Answer the one who waits, unless it has gone meanwhile."""
        if self.accepted.done():
            return
        if isinstance(result, Exception):
            self.accepted.set_exception(result)
        else:
            self.accepted.set_result(result)


class GroupCommit:
    """The submissions of this process that wait for their commit. Each of them succeeds or fails alone."""

    def __init__(self, store: BatchStore, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._waiting: OwnerLines[_Submission] = OwnerLines()
        self._committing: asyncio.Task[None] | None = None
        self._publishing: set[asyncio.Task[None]] = set()

    async def insert(
        self, header: BatchHeader, messages: Sequence[EncodedMessage], on_commit: Callable[[], None] = lambda: None
    ) -> bool:
        """Commit a batch with its messages, and publish them; False when one of its identities is taken. `on_commit` is
        called as soon as it is committed.

        Returns once the broker has the messages, or the outbox keeps them. Raises `IngestError` (413), and the error of
        the database. A caller that is cancelled does not stop the commit.
        """
        accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        submission = _Submission(header, outbox_messages(messages, header.traceparent), on_commit, accepted)
        self._waiting.add(header.owner, submission)
        if self._committing is None:
            # in a context of its own, so that no message gets the trace of another one's submission
            self._committing = asyncio.create_task(self._commit_waiting(), context=Context())
        return await accepted

    async def _commit_waiting(self) -> None:
        try:
            while self._waiting:
                group = self._take_group()
                try:
                    await self._commit(group)
                except Exception as error:  # noqa: BLE001  a defect, for which nobody waits for ever
                    for one in group:
                        one.end(error)
        finally:
            self._committing = None

    def _take_group(self) -> list[_Submission]:
        """Take the next submissions: one of each owner in turn."""
        group: list[_Submission] = []
        room, batch_ids = MAX_BYTES, set[UUID]()
        while self._waiting and len(group) < MAX_SUBMISSIONS:
            following = self._waiting.first()
            room -= following.size
            if group and (room < 0 or following.header.batch_id in batch_ids):
                break  # a repetition has to find the first one committed
            batch_ids.add(following.header.batch_id)
            group.append(self._waiting.take())
        return group

    async def _commit(self, group: list[_Submission]) -> None:
        try:
            posted = await self._store.insert([(one.header, one.messages) for one in group])
        except Exception as error:  # noqa: BLE001  every caller gets it
            if len(group) == 1 or (is_transient(error) and not isinstance(error, _LOCKED)):
                for one in group:
                    one.end(error)
                return
            log.info("committing one by one", submissions=len(group), error=f"{type(error).__name__}: {error}"[:300])
            for one in group:
                await self._commit([one])
            return
        for one, messages in zip(group, posted, strict=True):
            if messages is not None:
                one.on_commit()
        publishing = asyncio.create_task(self._publish(group, posted))
        self._publishing.add(publishing)
        publishing.add_done_callback(self._publishing.discard)

    async def _publish(self, group: Sequence[_Submission], posted: Sequence[list[OutboxMessage] | None]) -> None:
        try:
            await self._outbox.deliver([message for messages in posted for message in messages or ()])
        finally:  # they are committed, whatever happens
            for one, messages in zip(group, posted, strict=True):
                one.end(messages is not None)
