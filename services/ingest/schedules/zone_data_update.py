"""Computes the next times of schedules anew when Batchyard comes with newer data of time zones."""

from typing import ClassVar

import structlog

from services.ingest.domain.schedule import next_time
from services.ingest.persistence.run_store import RunStore

log = structlog.get_logger()
_LIMIT = 200


class ZoneDataUpdate:
    """Background task of each replica. It looks again and again, since a replica of an older version may save a
    schedule while it still runs."""

    INTERVAL_S: ClassVar[float] = 60.0

    def __init__(self, runs: RunStore) -> None:
        self._runs = runs

    async def update(self) -> float | None:
        """Compute the next times of some schedules; return 0 if more may be outdated."""
        async with self._runs.claim_outdated(_LIMIT) as claimed:
            for due in claimed.due:
                claimed.next_at[due.schedule_id] = due.next_at
                if due.schedule.unread:  # it pauses with a note when it is due
                    continue
                try:
                    claimed.next_at[due.schedule_id] = next_time(due.schedule.form, due.now)
                except ValueError as error:  # as above
                    log.warning("schedule cannot run", schedule_id=str(due.schedule_id), error=str(error))
        return 0.0 if len(claimed.due) == _LIMIT else None
