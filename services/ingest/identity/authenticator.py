"""Finds the client behind a key or a session: from memory, else from PostgreSQL.

A look-up is remembered for 30 seconds, and that there is no such key as well. All is forgotten as soon as another
process has changed a key or a session, which a counter in PostgreSQL tells: it is read more than twice a second, and
while it cannot be read nothing that is remembered counts.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from batchyard_contracts.api_keys import is_api_key
from services.ingest.domain.api_key import digest_of_key
from services.ingest.domain.caller import ANYBODY, Caller
from services.ingest.identity.usage_recorder import UsageRecorder
from services.ingest.persistence.identity_store import IdentityStore

SESSION_IDLE = timedelta(hours=1)
"""Time after its last use at which a session ends."""
REMEMBERED_S = 30.0
TRUSTED_S = 0.9
"""Longest time in seconds since the counter of changes was read, during which a remembered look-up counts."""
MAX_REMEMBERED = 10_000
"""Largest number of remembered look-ups; the oldest ones make room."""
_MAX_LOOKUPS = 2
"""Look-ups in PostgreSQL at a time: requests with unknown keys leave connections to others."""
_KEY, _SESSION = b"k", b"s"


@dataclass(frozen=True, slots=True)
class Credential:
    """A key or the id of a session as it was presented, with its hash."""

    kind: bytes
    digest: bytes
    presented: str = field(repr=False, compare=False)

    @classmethod
    def of_key(cls, presented: str) -> "Credential":
        """Return the credential of a key or token."""
        return cls(_KEY, digest_of_key(presented), presented)

    @classmethod
    def of_session(cls, presented: str) -> "Credential":
        """Return the credential of a session."""
        return cls(_SESSION, digest_of_key(presented), presented)

    @property
    def has_form(self) -> bool:
        """False for a key with a wrong checksum, which needs no look-up."""
        return not self.presented.startswith("by_") or is_api_key(self.presented)

    @property
    def is_session(self) -> bool:
        """True for a session."""
        return self.kind == _SESSION


@dataclass(frozen=True, slots=True)
class _Lookup:
    caller: Caller | None
    ends_at: datetime | None
    read_at: float


class Authenticator:
    """The keys and sessions that were looked up lately."""

    INTERVAL_S: ClassVar[float] = 0.4

    def __init__(self, store: IdentityStore, usage: UsageRecorder, clock: Callable[[], datetime]) -> None:
        self._store, self._usage, self._clock = store, usage, clock
        self._changes = 0
        self._refreshed_at = -TRUSTED_S
        self._known: dict[bytes, _Lookup] = {}
        self._running: dict[bytes, asyncio.Task[_Lookup]] = {}
        self._places = asyncio.Semaphore(_MAX_LOOKUPS)
        self._changed = asyncio.Event()

    @property
    def keys_are_required(self) -> bool:
        """True once a key was made; it stays so when all keys have ended."""
        return self._changes > 0

    async def refresh(self) -> None:
        """Forget all look-ups if a key or a session was changed since the last call."""
        began_at = time.monotonic()
        changes = await self._store.changes()
        self._refreshed_at = began_at
        if changes != self._changes:
            self._changes = changes
            self._forget()

    async def caller(self, credential: Credential | None, address: str) -> Caller | None:
        """Return the client with this credential; None when there is none, or no longer."""
        if not self.keys_are_required:
            return ANYBODY
        if credential is None:
            return None
        caller = await self._find(credential)
        if caller is not None and caller.key_id is not None:
            self._usage.note_key(caller.key_id, self._clock(), address)
            if credential.is_session:
                self._usage.note_session(credential.digest, self._clock())
        return caller

    async def wait_until_ended(self, credential: Credential | None) -> None:
        """Wait until a credential that was valid is valid no more. Raises the error of a look-up."""
        while True:
            changed = self._changed
            if self.keys_are_required and (credential is None or await self._find(credential) is None):
                return
            try:
                async with asyncio.timeout(REMEMBERED_S):  # it may expire as well
                    await changed.wait()
            except TimeoutError:
                continue

    async def _find(self, credential: Credential) -> Caller | None:
        known = self._known.get(credential.kind + credential.digest)
        now = time.monotonic()
        if known is None or now - known.read_at > REMEMBERED_S or now - self._refreshed_at > TRUSTED_S:
            if not credential.has_form:
                return None
            known = await self._look_up(credential)
        if known.ends_at is not None and known.ends_at <= self._clock():
            return None
        return known.caller

    async def _look_up(self, credential: Credential) -> _Lookup:
        """Look up a credential; requests that come meanwhile share the answer."""
        name = credential.kind + credential.digest
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(self._read(credential))
            task.add_done_callback(lambda done: self._running.pop(name) if self._running.get(name) is done else None)
        return await asyncio.shield(task)

    async def _read(self, credential: Credential) -> _Lookup:
        async with self._places:
            changes, read_at = self._changed, time.monotonic()
            if credential.is_session:
                found = await self._store.find_session(credential.digest, SESSION_IDLE)
                key, ends_at = found or (None, None)
            else:
                key, ends_at = await self._store.find_key(credential.digest), None
        if key is None:
            lookup = _Lookup(None, None, read_at)
        else:
            ends = [at for at in (ends_at, key.ends_at()) if at is not None]
            caller = Caller(key.owner, key.scopes, key.id, by_session=credential.is_session)
            lookup = _Lookup(caller, min(ends) if ends else None, read_at)
        if changes is self._changed:  # else a key was changed meanwhile
            self._remember(credential.kind + credential.digest, lookup)
        return lookup

    def _remember(self, name: bytes, lookup: _Lookup) -> None:
        self._known.pop(name, None)
        while len(self._known) >= MAX_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[name] = lookup

    def _forget(self) -> None:
        self._known.clear()
        self._running.clear()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
