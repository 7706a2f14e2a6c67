"""Handles ingest's messages about a batch: its acceptance, its sealing, its withdrawal and commands."""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    BatchControlled,
    BatchRemedied,
    BatchSealed,
    BatchStopped,
    BatchWithdrawn,
    ItemsReopened,
    ResultsAccepted,
)
from services.aggregator.domain.batch import Batch, BatchHeader
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.summary import ENDED_WITHOUT, NO_SUMMARY, Summary
from services.aggregator.handlers.thresholds import check_threshold, source_ended_messages, stopped_messages
from services.aggregator.persistence.store import LedgerStore, LedgerTransaction
from services.aggregator.publishing.batch_changes import BatchChangePublisher, finished_messages
from services.aggregator.publishing.missing_items import MissingItems
from services.aggregator.publishing.outbox_messages import reopened_keys, reopened_message
from shared.messaging.batch_consumer import DecodedMessage
from shared.observability.telemetry import traceparent
from shared.postgres.outbox import OutboxMessage

log = structlog.get_logger()


class BatchHandler:
    """Handler of messages about whole batches. Each may arrive before the outcomes, after them, or twice."""

    def __init__(
        self,
        store: LedgerStore,
        batch_changes: BatchChangePublisher,
        missing_items: MissingItems,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._batch_changes = batch_changes
        self._missing_items = missing_items
        self._clock = clock

    async def on_batches_accepted(self, received: Sequence[DecodedMessage]) -> None:
        """Save the headers of batches in one statement."""
        await self._accept(
            [(one.message, one.envelope.traceparent) for one in received if isinstance(one.message, BatchAccepted)]
        )

    async def on_batch_accepted(self, message: BatchAccepted, envelope: Envelope) -> None:
        """Save the header of a batch."""
        await self._accept([(message, envelope.traceparent)])

    async def _accept(self, accepted: Sequence[tuple[BatchAccepted, str | None]]) -> None:
        """Save headers, and finish the batches of which all outcomes arrived before."""
        headers = {message.batch_id: (message, _header_of(message, trace)) for message, trace in accepted}
        new = [
            Batch(0, message.batch_id).accept(header, message.priority, message.total, message.terms)
            for message, header in headers.values()
        ]
        created = await self._store.create_batches([b for b in new if b.finish_if_complete(self._clock()) == b])
        known = [batch_id for batch_id in headers if batch_id not in created]
        if not known:
            return
        changes: list[tuple[Batch, Batch, list[OutboxMessage]]] = []
        async with self._store.lock(known) as transaction:
            for before in transaction.batches.values():
                message, header = headers[before.batch_id]
                updated = before.accept(header, message.priority, message.total, message.terms)
                after = (await check_threshold(transaction, updated)).finish_if_complete(self._clock())
                if before.header is None:
                    await transaction.save_header(after)
                changes.append((before, after, await self._save(transaction, before, after)))
        for before, after, messages in changes:
            if after.counters.ended or after.is_finished:  # otherwise ingest's reply has said all there is
                self._publish(before, after, messages)

    async def on_batch_sealed(self, message: BatchSealed, _: Envelope) -> None:
        """Save the number of items, and finish the batch if all have ended."""
        async with self._store.lock([message.batch_id]) as transaction:
            before = transaction.batches[message.batch_id]
            after = (await check_threshold(transaction, before.seal(message.total, message.units))).finish_if_complete(
                self._clock()
            )
            messages = await self._save(transaction, before, after)
        self._publish(before, after, messages)

    async def on_batch_withdrawn(self, message: BatchWithdrawn, _: Envelope) -> None:
        """Delete what is known of a submission that failed; a batch with a header stays."""
        await self._store.delete_stub(message.batch_id)

    async def on_batch_controlled(self, message: BatchControlled, _: Envelope) -> None:
        """Pause, resume, cancel, change priority and terms, or open a new round.

        Of a batch that an operator ends, the items without an outcome end without the dispatcher.
        """
        async with self._store.lock([message.batch_id]) as transaction:
            before = transaction.batches[message.batch_id]
            if before.header is not None and before.header.owner != message.owner:
                log.warning("ignored a command of another owner", batch_id=str(message.batch_id), action=message.action)
                return
            if message.round is not None and message.round < before.round:
                log.info(
                    "ignored a command for an earlier round", batch_id=str(message.batch_id), action=message.action
                )
                return
            if message.action == "retry" and before.can_reopen(message.at) and message.round in {None, before.round}:
                after, messages = await _reopen(transaction, before, message, self._clock())
            elif message.action == "change":
                changed = before.change(message.at, message.priority, message.terms, message.clear)
                after = await check_threshold(transaction, changed)
                messages = await self._save(transaction, before, after)
            elif message.forced and before.is_awaiting_summary:
                after = before.finish_summarized(before.round, self._clock())
                await transaction.save_summary(after, ENDED_WITHOUT)
                messages = await self._save(transaction, before, after, ENDED_WITHOUT)
            else:
                after = before.apply_command(message.action, message.at)
                messages = await self._save(transaction, before, after)
        self._publish(before, after, messages)
        if message.forced and not after.is_finished:
            await self._missing_items.end_all(after)

    async def on_batch_remedied(self, message: BatchRemedied, _: Envelope) -> None:
        """Send the items of a retry again, which the dispatcher may have lost; those that it has stay as they are."""
        if message.remedy == "replay" and message.round > 1:
            await self._store.send_again(reopened_keys(message.batch_id, message.round))

    async def on_results_accepted(self, message: ResultsAccepted, _: Envelope) -> None:
        """Let items of a finished batch succeed whose results were refused: a round of its own, in which nothing
        runs."""
        async with self._store.lock([message.batch_id]) as transaction:
            before = transaction.batches[message.batch_id]
            if not before.can_reopen(message.at) or before.round != message.round or not before.is_of(message.owner):
                log.info("ignored results that were accepted late", batch_id=str(message.batch_id), round=message.round)
                return
            number = await transaction.accept_results(before, message.ordinals, message.custom_ids)
            if not number:
                return
            now = self._clock()
            after = before.accept_results(number, message.at, now).finish_if_complete(now)
            messages = await self._save(transaction, before, after)
        log.info("results accepted by hand", batch_id=str(after.batch_id), round=after.round, items=number)
        self._publish(before, after, messages)

    async def on_batch_stopped(self, message: BatchStopped, _: Envelope) -> None:
        """Record why a service stopped a round."""
        async with self._store.lock([message.batch_id]) as transaction:
            before = transaction.batches[message.batch_id]
            after = before.stop(message.reason, message.round, self._clock())
            messages = await self._save(transaction, before, after)
        self._publish(before, after, messages)

    async def _save(
        self, transaction: LedgerTransaction, before: Batch, after: Batch, summary: Summary = NO_SUMMARY
    ) -> list[OutboxMessage]:
        if after == before:
            return []
        await transaction.save([after])
        has_ended = after.is_finished and not (before.is_finished and before.round == after.round)
        endings = finished_messages([after], {after.batch_id: summary}) if has_ended else []
        source_ended = await source_ended_messages(transaction, [after])
        return await transaction.add_to_outbox(
            [*endings, *stopped_messages([(before, after)], self._clock()), *source_ended]
        )

    def _publish(self, before: Batch, after: Batch, messages: list[OutboxMessage]) -> None:
        if after != before:
            self._batch_changes.publish([after], messages)


def _header_of(message: BatchAccepted, trace: str | None) -> BatchHeader:
    return BatchHeader(
        message.owner,
        message.workload,
        message.accepted_at,
        message.name and message.name.replace("\x00", ""),  # PostgreSQL refuses U+0000
        message.labels,
        trace,
        message.has_summary or False,
        message.unit,
        bool(message.has_source),
        message.notify,
        message.metadata,
    )


async def _reopen(
    transaction: LedgerTransaction, before: Batch, message: BatchControlled, at: datetime
) -> tuple[Batch, list[OutboxMessage]]:
    """Open a round with the selected items; without any, the batch stays finished."""
    removed, messages, trace = OutcomeCounters(), list[OutboxMessage](), traceparent()
    async for ordinals, counters in transaction.remove_outcomes(before, message.select, message.except_ordinals):
        removed += counters
        part = ItemsReopened(
            batch_id=before.batch_id,
            round=before.round + 1,
            ordinals=ordinals,
            patch=message.patch,
            requested_at=message.at,
        )
        messages += await transaction.add_to_outbox([reopened_message(part, len(messages), trace)])
    after = before.reopen(removed, message.at, at) if removed.ended else before.apply_command("retry", message.at)
    await transaction.save([after])
    log.info("retry", batch_id=str(after.batch_id), round=after.round, items=removed.ended)
    return after, messages
