"""Publishes changes of batches after the commit: ends through the outbox, everything else as progress."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID

from batchyard_contracts.v1.flow import ItemsSettled
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.events import finished_event
from services.aggregator.domain.report import Report
from services.aggregator.domain.summary import NO_SUMMARY, Summary
from services.aggregator.publishing.outbox_messages import finished_message, notification_message
from services.aggregator.publishing.progress_events import ProgressEvents
from shared.observability.telemetry import span, traceparent
from shared.postgres.outbox import Outbox, OutboxMessage


def finished_messages(changed: Iterable[Batch], summaries: Mapping[UUID, Summary] | None = None) -> list[OutboxMessage]:
    """Return the messages about finished batches, to be saved in the transaction that finished them: the event of each,
    and the request to tell its receivers, if it has any."""
    messages = []
    for batch in changed:
        if batch.is_finished and batch.header:
            summary = summaries.get(batch.batch_id, NO_SUMMARY) if summaries else NO_SUMMARY
            with span("finish batch", batch.header.traceparent):
                event, trace, notify = finished_event(batch, summary), traceparent(), batch.header.notify
                messages.append(finished_message(event, trace))
                if notify is None or notify.webhooks or notify.emails:
                    messages.append(notification_message(event, notify, trace))
    return messages


class BatchChangePublisher:
    """Publisher of committed changes. `request_summary` is called when a batch lacks only its summary."""

    def __init__(self, outbox: Outbox, progress: ProgressEvents, request_summary: Callable[[], None]) -> None:
        self._outbox = outbox
        self._progress = progress
        self._request_summary = request_summary

    def has_partial_progress(self, report: Report | ItemsSettled) -> bool:
        """Tell whether a report may carry progress of unfinished items, or end items that had reported some."""
        return (isinstance(report, Report) and report.ended is None) or self._progress.has_partial_progress(
            report.batch_id
        )

    def update_partial_progress(self, batch: Batch, reports: Sequence[Report | ItemsSettled]) -> None:
        """Publish the progress that unfinished items report."""
        if not batch.is_finished:
            self._progress.update_partial_progress(batch, reports)

    def publish(self, changed: Iterable[Batch], messages: Sequence[OutboxMessage]) -> None:
        """Publish the saved messages, and the progress of unfinished batches."""
        self._outbox.enqueue(messages)
        for batch in changed:
            if batch.is_finished:
                self._progress.discard(batch.batch_id)
                continue
            self._progress.update(batch)
            if batch.is_awaiting_summary:
                self._request_summary()
