"""Exchanges API keys for sessions of browsers, at once or by a link, and ends these."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from services.ingest.domain.actor import Actor
from services.ingest.domain.api_key import ApiKey, digest_of_key
from services.ingest.domain.caller import Caller
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.identity.authenticator import Authenticator, Credential
from services.ingest.persistence.audit_log import act_as, record_in
from services.ingest.persistence.identity_store import IdentityChange, IdentityStore

LIFETIME = timedelta(hours=12)
LINK_LIFETIME = timedelta(hours=1)
_MAX_LOOKUPS = 2
"""Links that are looked up at a time: requests with unknown ones leave connections to others."""
_SECRET_BYTES = 32
_NO_KEYS = Rejection(
    "sessions_need_keys", "This Batchyard has no API keys, so that there is nothing to sign in with or for.", 409
)
_NO_KEY_SENT = Rejection("unauthorized", "A session begins with a key: send `Authorization: Bearer <API key>`.", 401)
_LINK_HAS_ENDED = Rejection(
    "unauthorized", "This link was used before, or has ended. `batchyard dashboard` prints a new one.", 401
)


class SessionManager:
    """Operations on sessions. A session has the rights of its key, and ends with it."""

    def __init__(self, store: IdentityStore, authenticator: Authenticator, clock: Callable[[], datetime]) -> None:
        self._store, self._authenticator, self._clock = store, authenticator, clock
        self._places = asyncio.Semaphore(_MAX_LOOKUPS)

    async def start(self, caller: Caller) -> tuple[str, datetime]:
        """Start a session for the key of a caller; return its secret id, once, and its end."""
        key_id = _key_of(caller)
        async with self._store.change() as change:
            return await self._insert(change, caller.owner, key_id)

    async def make_link(self, caller: Caller) -> tuple[str, datetime]:
        """Make a link that signs in once with the key of a caller; return its token, once, and its end."""
        key_id = _key_of(caller)
        token, expires_at = secrets.token_urlsafe(_SECRET_BYTES), self._clock() + LINK_LIFETIME
        async with self._store.change() as change:
            await change.insert_link(digest_of_key(token), key_id, expires_at)
            await record_in(change.connection, "session.link", caller.owner, key_id)
        return token, expires_at

    async def redeem(self, token: str, address: str) -> tuple[ApiKey, str, datetime]:
        """Exchange the token of a link, which then ends, for a session; return its key, its secret id and its end."""
        async with self._places, self._store.change() as change:
            found = await change.take_link(digest_of_key(token))
            now = self._clock()
            if found is None or found[1] <= now or _has_ended(found[0], now):
                raise IngestError(_LINK_HAS_ENDED)
            key = found[0]
            act_as(Actor(key.owner, "http", key.id, address))
            return key, *await self._insert(change, key.owner, key.id)

    async def end(self, caller: Caller, credential: Credential) -> None:
        """End the session of a caller."""
        async with self._store.change() as change:
            await change.delete_session(credential.digest)
            await record_in(change.connection, "session.end", caller.owner, caller.key_id or "")
        await self._authenticator.refresh()

    async def _insert(self, change: IdentityChange, owner: str, key_id: str) -> tuple[str, datetime]:
        session_id, expires_at = secrets.token_urlsafe(_SECRET_BYTES), self._clock() + LIFETIME
        await change.insert_session(digest_of_key(session_id), key_id, expires_at)
        await record_in(change.connection, "session.start", owner, key_id)
        return session_id, expires_at


def _key_of(caller: Caller) -> str:
    if caller.key_id is None:
        raise IngestError(_NO_KEYS)
    if caller.by_session:  # else it could be prolonged for ever
        raise IngestError(_NO_KEY_SENT)
    return caller.key_id


def _has_ended(key: ApiKey, now: datetime) -> bool:
    ends_at = key.ends_at()
    return ends_at is not None and ends_at <= now
