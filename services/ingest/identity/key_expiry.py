"""Announces the ends of API keys some days ahead, so that nobody is surprised by them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar

import structlog

from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.events import KeyExpiring
from services.ingest.persistence.identity_store import IdentityStore
from shared.postgres.outbox import OutboxMessage

log = structlog.get_logger()
AHEAD = (timedelta(days=7), timedelta(days=1))
"""Times before the end of a key at which it is announced."""
_MAX_KEYS = 500


class KeyExpiry:
    """Sends `key.expiring.v1`, once for each key and each time before its end, whichever process finds it first."""

    INTERVAL_S: ClassVar[float] = 300.0

    def __init__(self, store: IdentityStore, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock

    async def announce(self) -> float | None:
        """Announce some ends; return 0 if there may be more, else None."""
        async with self._store.change() as change:
            keys = await change.expiring_keys(AHEAD, _MAX_KEYS)
            at = self._clock()
            events = [
                KeyExpiring(
                    workload="unknown",
                    owner=key.owner,
                    key_id=key.id,
                    name=key.name,
                    expires_at=key.expires_at,
                    last_used_at=key.last_used_at,
                    at=at,
                )
                for key in keys
                if key.expires_at is not None
            ]
            await change.add_messages([OutboxMessage.of(EVENTS, event) for event in events])
        for key in keys:
            log.info("key expires soon", key_id=key.id, owner=key.owner, expires_at=key.expires_at)
        return 0.0 if len(keys) == _MAX_KEYS else None
