"""Publishes the failures of items: each at once, at most a hundred a second of a batch; the last one counts the rest.

Events are published after the commit and not stored: a crash or an unavailable broker loses them. The ledger has all.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import structlog

from batchyard_contracts import topology
from batchyard_contracts.v1.events import ItemFailed
from batchyard_contracts.v1.values import UNKNOWN_OWNER, ItemError
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.failure import Failure
from services.aggregator.domain.outcome_rows import COLUMNS
from shared.messaging.publisher import OutgoingMessage
from shared.runtime.errors import PublishFailed

log = structlog.get_logger()
MAX_FAILURE_EVENTS_PER_S = 100
_WINDOW_S = 1.0
_MAX_BATCHES = 10_000
Publish = Callable[[Sequence[OutgoingMessage]], Awaitable[None]]


@dataclass(slots=True)
class _Window:
    """Failures of a batch within one second."""

    started_at: float
    published: int = 0
    skipped: int = 0
    latest: tuple[Batch, Failure, datetime] | None = None
    """Newest failure that was not published; converted to an event only when the window closes."""


class FailureEvents:
    """Publisher of `item.failed` events with a rate limit per batch."""

    INTERVAL_S: ClassVar[float] = _WINDOW_S / 4

    def __init__(self, publish: Publish, clock: Callable[[], float] = time.monotonic) -> None:
        self._publish, self._clock = publish, clock
        self._windows: OrderedDict[UUID, _Window] = OrderedDict()
        self._pending: list[ItemFailed] = []
        self.wake = asyncio.Event()
        """Set when a failure has been queued."""

    def add(self, batch: Batch, failures: Iterable[Failure], at: datetime) -> None:
        """Queue recorded failures of a batch for publishing; return at once."""
        if batch.header is None:  # the owner is unknown
            return
        window = self._windows.setdefault(batch.batch_id, _Window(self._clock()))
        for failure in failures:
            if window.published < MAX_FAILURE_EVENTS_PER_S - 1:
                window.published += 1
                self._pending.append(_event(batch, failure, at))
            else:
                window.skipped += window.latest is not None
                window.latest = (batch, failure, at)
        if len(self._windows) > _MAX_BATCHES:
            self._windows.popitem(last=False)
        self.wake.set()

    async def publish_queued(self) -> None:
        """Publish the queued failures, and the last one of each window that has closed."""
        await self._publish_closed_windows(self._clock() - _WINDOW_S)

    async def publish_rest(self) -> None:
        """Publish what is left, open windows included."""
        await self._publish_closed_windows(float("inf"))

    async def _publish_closed_windows(self, before: float) -> None:
        for batch_id, window in list(self._windows.items()):
            if window.started_at <= before:
                del self._windows[batch_id]
                if window.latest is not None:
                    self._pending.append(_event(*window.latest).model_copy(update={"skipped": window.skipped}))
        events, self._pending = self._pending, []
        if not events:
            return
        try:
            await self._publish(
                [
                    OutgoingMessage(topology.EVENTS, x.routing_key(), x.type, x.encode(), persistent=False)
                    for x in events
                ]
            )
        except PublishFailed as error:
            log.info("failure events dropped", events=len(events), error=str(error))


def _event(batch: Batch, failure: Failure, at: datetime) -> ItemFailed:
    row = dict(zip(COLUMNS, failure.row, strict=True))
    header, cause = batch.header, failure.cause
    error = {"code": cause.code, "message": row["error_message"] or "", "scope": row["error_scope"] or "item"}
    return ItemFailed.model_validate(
        {
            "workload": header.workload if header else "unknown",
            "owner": header.owner if header else UNKNOWN_OWNER,
            "batch_id": batch.batch_id,
            "ordinal": failure.ordinal,
            "custom_id": row["custom_id"],
            "round": row["round"],
            "attempts": row["attempts"],
            "error": ItemError.model_validate(error),
            "partition": cause.partition,
            "cause": cause.id,
            "at": at,
        }
    )
