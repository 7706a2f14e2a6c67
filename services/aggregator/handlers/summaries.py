"""Takes the summary of a batch, or the news that there is none, and ends the round with it."""

from collections.abc import Callable
from datetime import datetime

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import SummaryMade
from services.aggregator.domain.summary import Summary
from services.aggregator.persistence.store import Store
from services.aggregator.publishing.batch_changes import Telling, endings

log = structlog.get_logger()


class SummariesHandler:
    """The first summary of a round counts; what comes after its end, or of another round, changes nothing."""

    def __init__(self, store: Store, telling: Telling, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._telling = telling
        self._clock = clock

    async def made(self, message: SummaryMade, _: Envelope) -> None:
        """Keep it and announce the end, in one transaction."""
        summary = Summary.told(message.summary, message.error)
        async with self._store.locked([message.batch_id]) as work:
            before = work.batches[message.batch_id]
            after = before.summarized(message.round, self._clock())
            if after == before:
                log.info("late summary", batch_id=str(message.batch_id), round=message.round)
                return
            await work.save([after])
            await work.save_summary(after, summary)
            saved = await work.post(endings([after], {after.batch_id: summary}))
        self._telling.announce([after], saved)
