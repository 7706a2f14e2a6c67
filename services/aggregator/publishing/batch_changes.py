"""Tells of batches that changed: their end through the outbox, everything else as progress."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID

from batchyard_contracts.v1.flow import ItemsSettled
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.events import finished
from services.aggregator.domain.report import Report
from services.aggregator.domain.summary import NO_SUMMARY, Summary
from services.aggregator.persistence.outbox import Outbox
from services.aggregator.persistence.outbox_message import Entry, finished_entry
from services.aggregator.publishing.progress_events import Progress
from shared.observability.telemetry import span, traceparent


def endings(changed: Iterable[Batch], summaries: Mapping[UUID, Summary] | None = None) -> list[Entry]:
    """The events of those that have finished, to be saved in the transaction that found it."""
    entries = []
    for batch in changed:
        if batch.finished:
            summary = summaries.get(batch.batch_id, NO_SUMMARY) if summaries else NO_SUMMARY
            with span("finish batch", batch.header.traceparent if batch.header else None):
                entries.append(finished_entry(finished(batch, summary), traceparent()))
    return entries


class Telling:
    """What is done after the commit. `summarize` is called when a batch lacks nothing but its summary."""

    def __init__(self, outbox: Outbox, progress: Progress, summarize: Callable[[], None]) -> None:
        self._outbox = outbox
        self._progress = progress
        self._summarize = summarize

    def hears(self, report: Report | ItemsSettled) -> bool:
        """Whether a report may say how far items are, or end some that said so."""
        return (isinstance(report, Report) and report.ended is None) or self._progress.hears(report.batch_id)

    def hear(self, batch: Batch, reports: Sequence[Report | ItemsSettled]) -> None:
        """Tell how far the items of a batch are, where they say so."""
        if not batch.finished:
            self._progress.hear(batch, reports)

    def announce(self, changed: Iterable[Batch], saved: Sequence[Entry]) -> None:
        """Publish what was saved, and tell how far the others are."""
        self._outbox.offer(saved)
        for batch in changed:
            if batch.finished:
                self._progress.forget(batch.batch_id)
                continue
            self._progress.note(batch)
            if batch.summarizing:
                self._summarize()
