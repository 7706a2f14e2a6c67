"""Collects the last use of keys and sessions in memory, and writes it once a minute; the first use of a key in this
process at once, so that a key that somebody has just tried is not shown as never used."""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import ClassVar

import asyncpg

from services.ingest.persistence.identity_store import IdentityStore

MAX_COLLECTED = 20_000
"""Largest number of keys and of sessions whose use is collected between two writes; further uses are not recorded."""


class UsageRecorder:
    """Last uses since the last write."""

    INTERVAL_S: ClassVar[float] = 60.0

    def __init__(self, store: IdentityStore) -> None:
        self._store = store
        self._keys: dict[str, tuple[datetime, str]] = {}
        self._sessions: dict[bytes, datetime] = {}
        self._written: set[str] = set()
        """Keys of which a use was collected before, as far as they are remembered."""
        self.wake = asyncio.Event()
        """Set when a use is to be written at once."""

    def note_key(self, key_id: str, at: datetime, address: str) -> None:
        """Remember that a key was used, and from where."""
        if len(self._keys) < MAX_COLLECTED or key_id in self._keys:
            self._keys[key_id] = (at, address)
            if key_id not in self._written:
                if len(self._written) >= MAX_COLLECTED:
                    self._written.clear()
                self._written.add(key_id)
                self.wake.set()

    def note_session(self, digest: bytes, at: datetime) -> None:
        """Remember that a session was used."""
        if len(self._sessions) < MAX_COLLECTED or digest in self._sessions:
            self._sessions[digest] = at

    async def write_last(self) -> None:
        """Write what was collected when the service stops; without PostgreSQL it is lost."""
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            await self.write()

    async def write(self) -> None:
        """Write what was collected. After an error it is collected still, unless there is a later use."""
        keys, sessions = self._keys, self._sessions
        self._keys, self._sessions = {}, {}
        try:
            await self._store.record_use(keys, sessions)
        except BaseException:
            self._keys, self._sessions = keys | self._keys, sessions | self._sessions
            raise
