"""Registry of what the notifier can send: in PostgreSQL for all ingest processes, in memory for checks."""

from pydantic import ValidationError

from batchyard_contracts.v1.flow import NotifierAnnounced
from batchyard_contracts.v1.values import NotificationTargets
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.notification_check import check_targets
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.ingest.persistence")


class NotifierRegistry:
    """The latest announcement of a notifier. As long as there is none, all notifications are accepted."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._announced: NotifierAnnounced | None = None

    def check(self, targets: NotificationTargets) -> None:
        """Raise `IngestError` when a notification could never be sent."""
        if self._announced is not None and (rejection := check_targets(targets, self._announced)):
            raise IngestError(rejection)

    async def register(self, message: NotifierAnnounced) -> None:
        """Record an announcement."""
        await self._pool.execute(_SQL["register_notifier"], message.encode().decode())
        await self.reload()

    async def reload(self) -> None:
        """Read the announcement that any process recorded last."""
        text = await self._pool.fetchval(_SQL["get_notifier"])
        try:
            self._announced = None if text is None else NotifierAnnounced.decode(text.encode())
        except ValidationError:  # written by another version of this service
            self._announced = None
