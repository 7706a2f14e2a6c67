"""The aggregator's handlers over a store in memory: a ledger to which a test delivers messages."""

from collections.abc import Sequence
from typing import Any, cast

from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    BatchControlled,
    BatchSealed,
    BatchStopped,
    ItemsReopened,
    SummaryCompleted,
)
from services.aggregator.handlers.batches import BatchHandler
from services.aggregator.handlers.outcomes import OutcomeHandler
from services.aggregator.handlers.summaries import SummaryHandler
from services.aggregator.publishing.batch_changes import BatchChangePublisher
from services.aggregator.publishing.failure_events import FailureEvents
from services.aggregator.publishing.progress_events import ProgressEvents
from shared.messaging.batch_consumer import DecodedMessage
from shared.postgres.outbox import Outbox
from tests.support.ledger_messages import START, received
from tests.support.memory_ledger_store import Crash, MemoryStore


class Ledger:
    """The real handlers over a store in memory; a delivery that fails is redelivered and flagged so."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        store = cast("Any", self.store)
        outbox = Outbox(cast("Any", None), cast("Any", None))
        progress = ProgressEvents(cast("Any", None))
        failure_events = FailureEvents(cast("Any", None))
        batch_changes = BatchChangePublisher(outbox, progress, lambda: None)
        self._outcomes = OutcomeHandler(store, batch_changes, failure_events, lambda: START)
        self._batches = BatchHandler(store, batch_changes, cast("Any", None), lambda: START)
        self._summaries = SummaryHandler(store, batch_changes, lambda: START)

    async def deliver(self, messages: Sequence[Message], crash: Any = None) -> None:
        """Deliver messages of one queue together."""
        self.store.crash = crash
        try:
            await self._handle(messages, redelivered=False)
        except Crash:
            await self._handle(messages, redelivered=True)

    async def _handle(self, messages: Sequence[Message], *, redelivered: bool) -> None:
        envelope = Envelope("", "")
        match messages[0]:
            case BatchAccepted(segments=[*_]):
                await self._batches.on_batches_accepted([DecodedMessage(one, envelope) for one in messages])
            case BatchAccepted() as message:
                await self._batches.on_batch_accepted(message, envelope)
            case BatchSealed() as message:
                await self._batches.on_batch_sealed(message, envelope)
            case BatchStopped() as message:
                await self._batches.on_batch_stopped(message, envelope)
            case BatchControlled() as message:
                await self._batches.on_batch_controlled(message, envelope)
            case SummaryCompleted() as message:
                await self._summaries.on_summary_completed(message, envelope)
            case _:
                await self._outcomes.on_outcomes([received(one, redelivered=redelivered) for one in messages])

    def finished(self) -> list[BatchFinished]:
        """Return every end that was decided."""
        entries = self.store.outbox.values()
        return [BatchFinished.decode(entry.body) for entry in entries if entry.type == BatchFinished.type]

    def reopened(self) -> list[ItemsReopened]:
        """Return every message that reopens items."""
        entries = self.store.outbox.values()
        return [ItemsReopened.decode(entry.body) for entry in entries if entry.type == ItemsReopened.type]
