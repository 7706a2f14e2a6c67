"""Tells of batches that changed: their end through the outbox, everything else as progress."""

from collections.abc import Iterable, Sequence

from services.aggregator.domain.batch import Batch
from services.aggregator.domain.facts import finished
from services.aggregator.entry import Entry, finished_entry
from services.aggregator.outbox import Outbox
from services.aggregator.progress import Progress
from shared.telemetry import span, traceparent


def endings(changed: Iterable[Batch]) -> list[Entry]:
    """The events of those that have finished, to be saved in the transaction that found it."""
    entries = []
    for batch in changed:
        if batch.finished:
            with span("finish batch", batch.header.traceparent if batch.header else None):
                entries.append(finished_entry(finished(batch), traceparent()))
    return entries


def announce(changed: Iterable[Batch], saved: Sequence[Entry], outbox: Outbox, progress: Progress) -> None:
    """After the commit: publish what was saved, and tell how far the others are."""
    outbox.offer(saved)
    for batch in changed:
        if batch.finished:
            progress.forget(batch.batch_id)
        else:
            progress.note(batch)
