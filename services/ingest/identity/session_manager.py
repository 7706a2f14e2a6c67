"""Exchanges API keys for sessions of browsers, and ends these."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from services.ingest.domain.api_key import digest_of_key
from services.ingest.domain.caller import Caller
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.identity.authenticator import Authenticator, Credential
from services.ingest.persistence.audit_log import record_in
from services.ingest.persistence.identity_store import IdentityStore

LIFETIME = timedelta(hours=12)
_SECRET_BYTES = 32
_NO_KEYS = Rejection(
    "sessions_need_keys", "This Batchyard has no API keys, so that there is nothing to sign in with or for.", 409
)
_NO_KEY_SENT = Rejection("unauthorized", "A session begins with a key: send `Authorization: Bearer <API key>`.", 401)


class SessionManager:
    """Operations on sessions. A session has the rights of its key, and ends with it."""

    def __init__(self, store: IdentityStore, authenticator: Authenticator, clock: Callable[[], datetime]) -> None:
        self._store, self._authenticator, self._clock = store, authenticator, clock

    async def start(self, caller: Caller) -> tuple[str, datetime]:
        """Start a session for the key of a caller; return its secret id, once, and its end."""
        if caller.key_id is None:
            raise IngestError(_NO_KEYS)
        if caller.by_session:  # else it could be prolonged for ever
            raise IngestError(_NO_KEY_SENT)
        session_id, expires_at = secrets.token_urlsafe(_SECRET_BYTES), self._clock() + LIFETIME
        async with self._store.change() as change:
            await change.insert_session(digest_of_key(session_id), caller.key_id, expires_at)
            await record_in(change.connection, "session.start", caller.owner, caller.key_id)
        return session_id, expires_at

    async def end(self, caller: Caller, credential: Credential) -> None:
        """End the session of a caller."""
        async with self._store.change() as change:
            await change.delete_session(credential.digest)
            await record_in(change.connection, "session.end", caller.owner, caller.key_id or "")
        await self._authenticator.refresh()
