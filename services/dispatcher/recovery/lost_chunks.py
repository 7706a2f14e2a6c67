"""Carries out the decisions on lost chunks, so that a chunk which crashes its workers stops doing so and ends."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar
from uuid import UUID

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import BatchRemedied, ChunkReturned
from services.dispatcher.dispatching.chunk_publisher import ChunkPublisher, ChunksRefused
from services.dispatcher.dispatching.undeliverable import UndeliverableChunks
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.lost_chunk_policy import (
    Defer,
    Fail,
    Forget,
    Halve,
    LossAction,
    LossDecision,
    LossReason,
    Redispatch,
    Resend,
    Settle,
    decide_loss,
)
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.recovery.start_permits import StartPermits
from services.dispatcher.settlement.chunk_settler import ChunkSettler
from services.dispatcher.state.state import DispatcherState
from shared.messaging.batch_consumer import DecodedMessage
from shared.runtime.isolation import run_isolated

log = structlog.get_logger()
_RETRY_S = 30.0
"""Pause in seconds before a chunk whose recovery failed may count as lost again."""
_Action = TypeVar("_Action", bound=LossAction)


class LostChunkRecovery:
    """Handles chunks that workers lost or returned, or that were never sent."""

    def __init__(
        self,
        state: DispatcherState,
        stores: Stores,
        publisher: ChunkPublisher,
        chunk_settler: ChunkSettler,
        pages: PageCache,
        start_permits: StartPermits,
        undeliverable: UndeliverableChunks,
        max_chunk_losses: int,
        on_wait: Callable[[], None],
    ) -> None:
        self._state, self._stores, self._publisher = state, stores, publisher
        self._chunk_settler, self._pages = chunk_settler, pages
        self._undeliverable, self._max_losses, self._on_wait = undeliverable, max_chunk_losses, on_wait
        self._start_permits, self._lock = start_permits, start_permits.lock
        """Shared with `StartPermits`: workers return chunks while others are found lost or ask for permits."""

    async def on_chunks_returned(self, received: Sequence[DecodedMessage]) -> None:
        """Handle `chunk.returned.v1`. A message with an old fence, or without a lease, is late and ignored.

        A chunk is redelivered when its worker was lost, but also when only the connection was. So if the loss would
        cost an item, the lease has to expire first, which it does not while a worker names the chunk.
        """
        returned: dict[UUID, tuple[Lease, int, LossReason]] = {}
        for message in (r.message for r in received if isinstance(r.message, ChunkReturned)):
            lease = self._state.leases.get(message.chunk_id)
            if lease is not None and lease.fence == message.fence:
                returned.setdefault(message.chunk_id, (lease, message.fence, message.reason))
        await self._recover(list(returned.values()))

    async def on_batch_remedied(self, message: BatchRemedied, _: Envelope) -> None:
        """Take the chunks of a batch back from their workers, as if these were lost, whether their leases have expired
        or not. A report under the old lease counts no more, except of items that are not to run twice: those fail."""
        if message.remedy != "release":
            return
        leases = [x for x in self._state.leases.values() if x.batch_id == message.batch_id]
        log.warning("leases released by an operator", batch_id=str(message.batch_id), chunks=len(leases))
        await self.recover([(x, x.fence) for x in leases if x.round <= message.round], "expired")

    async def recover(self, leases: Iterable[tuple[Lease, int]], reason: LossReason) -> None:
        """Decide what becomes of chunks that were found lost, each with its fence of that moment, and do it."""
        await self._recover([(lease, fence, reason) for lease, fence in leases])

    async def _recover(self, lost: Sequence[tuple[Lease, int, LossReason]]) -> None:
        """Recover chunks together. If that fails for good, recover each alone, so that one chunk holds up no other.

        Raises the errors of those that cannot be recovered; they count as lost again after a pause.
        """
        errors: list[Exception] = []
        for (lease, _, _), error in await run_isolated(lost, self._recover_together):
            self._state.leases.mark_seen(lease, time.monotonic() + _RETRY_S)
            errors.append(error)
        if errors:
            raise ExceptionGroup("chunks not recovered", errors)

    async def _recover_together(self, lost: Sequence[tuple[Lease, int, LossReason]]) -> None:
        """Load, decide and apply. Without a permit in between: an item that starts now would run twice."""
        async with self._lock:
            ordinals = [await self._pages.ordinals(lease) for lease, _, _ in lost]
            decided = [
                (lease, self._decide(lease, reason, own))
                for (lease, fence, reason), own in zip(lost, ordinals, strict=True)
                if self._state.leases.is_current(lease, fence)
            ]
            await self._apply(decided)

    def _decide(self, lease: Lease, reason: LossReason, ordinals: Sequence[int]) -> LossDecision:
        return decide_loss(
            lease,
            self._state.batch_of(lease),
            reason,
            ordinals,
            isolates=self._state.workers.handles_quarantine(lease.workload),
            max_losses=self._max_losses,
        )

    async def _apply(self, decided: Sequence[tuple[Lease, LossDecision]]) -> None:
        """End chunks first, then send the others: each is saved, then changed in memory, then published.

        If a save fails, all is repeated with the leases that are unchanged; after a crash, by the next dispatcher.
        """
        for lease, _ in _with_action(Forget, decided):
            await self._stores.leases.end([lease.chunk_id])
            self._state.release_lease(lease)
        for lease, settled in _with_action(Settle, decided):
            await self._chunk_settler.end(lease, settled.status)
        for lease, _ in _with_action(Defer, decided):
            self._state.leases.mark_overdue(lease)  # no worker holds it, so it is dispatched when the batch resumes
        for lease, decision in decided:
            if decision.needs_review:
                await self._start_permits.fail_started(lease, decision.needs_review)
        for lease, failed in _with_action(Fail, decided):
            log.error("item failed after repeated losses", chunk_id=str(lease.chunk_id), batch_id=str(lease.batch_id))
            await self._chunk_settler.end(lease, "failed", failed.error)
        for lease, halved in _with_action(Halve, decided):
            await self._halve(lease, halved)
        if changed := _with_action(Redispatch, decided):
            await self._redispatch(changed)
        if orphans := [lease for lease, _ in _with_action(Resend, decided)]:
            await self._resend(orphans)

    async def _halve(self, lease: Lease, halved: Halve) -> None:
        log.warning("chunk halved after repeated losses", chunk_id=str(lease.chunk_id), batch_id=str(lease.batch_id))
        await self._stores.leases.replace_lease(lease.chunk_id, halved.parts)
        self._state.release_lease(lease)
        for part in halved.parts:
            self._state.add_lease(part)
        await self._publish(halved.parts)

    async def _redispatch(self, changed: Sequence[tuple[Lease, Redispatch]]) -> None:
        """Send chunks with their next fence. A save whose reply was lost is repeated with the same values."""
        await self._stores.leases.save_redispatch([new.lease for _, new in changed])
        if lost := [lease for lease, new in changed if new.lease.losses > lease.losses]:
            log.warning("lost chunks dispatched again", chunks=len(lost), batches=len({x.batch_id for x in lost}))
        now = time.monotonic()
        for lease, new in changed:
            self._state.leases.bump_fence(lease, new.lease, now)
        await self._publish([lease for lease, _ in changed])

    async def _resend(self, orphans: Sequence[Lease]) -> None:
        """Send chunks unchanged. This is saved first, so that a chunk that crashes its dispatcher is resent once."""
        await self._stores.leases.save_resent(orphans)
        log.warning("orphaned chunks dispatched", chunks=len(orphans))
        self._state.leases.mark_resent(orphans)
        await self._publish(orphans)

    async def _publish(self, leases: Sequence[Lease]) -> None:
        try:
            await self._publisher.publish(leases)
        except ChunksRefused as error:
            await self._undeliverable.record(error, self._on_wait)


def _with_action(action: type[_Action], decided: Sequence[tuple[Lease, LossDecision]]) -> list[tuple[Lease, _Action]]:
    return [(lease, decision.action) for lease, decision in decided if isinstance(decision.action, action)]
