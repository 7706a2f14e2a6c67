"""Creates, lists, rotates and revokes API keys."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from batchyard_contracts.api_keys import id_of, new_api_key
from services.ingest.domain.api_key import (
    ENDED_KEYS_STAY,
    KEY_NOT_FOUND,
    MAX_KEYS_PER_OWNER,
    TOO_MANY_KEYS,
    ApiKey,
    digest_of_key,
    hint_of,
    reason_against_creation,
    reason_against_rotation,
    successor_expires_at,
)
from services.ingest.domain.caller import Caller
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.scope import Scope, sorted_scopes
from services.ingest.identity.authenticator import SESSION_IDLE, Authenticator
from services.ingest.persistence.audit_log import record_in
from services.ingest.persistence.identity_store import IdentityChange, IdentityStore

log = structlog.get_logger()


class KeyManager:
    """Operations on the keys of an owner; those of an operator concern all owners."""

    def __init__(
        self, store: IdentityStore, authenticator: Authenticator, environment: str, clock: Callable[[], datetime]
    ) -> None:
        self._store, self._authenticator = store, authenticator
        self._environment, self._clock = environment, clock

    async def create(
        self, caller: Caller, owner: str, name: str, scopes: Sequence[Scope], expires_at: datetime | None
    ) -> tuple[str, ApiKey]:
        """Create a key and return it, once, with its description; raises `IngestError`."""
        _raise(reason_against_creation(caller, owner, scopes, expires_at, self._clock()))
        async with self._store.change() as change:
            created = await self._insert(change, caller, owner, name, scopes, expires_at)
        await self._authenticator.refresh()
        return created

    async def keys(self, caller: Caller, owner: str | None) -> list[ApiKey]:
        """Return the keys of the caller's owner; an operator may name another owner, or none for all."""
        return await self._store.list_keys(owner if caller.is_operator else caller.owner)

    async def rotate(self, caller: Caller, key_id: str, grace_s: int, *, force: bool) -> tuple[str, ApiKey]:
        """Create the successor of a key, which itself works for `grace_s` seconds yet; raises `IngestError`."""
        async with self._store.change() as change:
            key = await self._locked_key(change, caller, key_id)
            now = self._clock()
            _raise(reason_against_rotation(key, caller, now, force=force))
            expires_at = successor_expires_at(key, now)
            created = await self._insert(change, caller, key.owner, key.name, sorted_scopes(key.scopes), expires_at)
            ends_at = now + timedelta(seconds=grace_s)
            await change.replace_key(key.id, created[1].id, ends_at)
            await record_in(
                change.connection,
                "key.rotate",
                key.owner,
                key.id,
                before={"expires_at": key.expires_at},
                after={"replaced_by": created[1].id, "expires_at": ends_at},
            )
        await self._authenticator.refresh()
        return created

    async def revoke(self, caller: Caller, key_id: str) -> ApiKey:
        """End a key, and the sessions that it was exchanged for; raises `IngestError`."""
        async with self._store.change() as change:
            await self._locked_key(change, caller, key_id)
            key = await change.revoke_key(key_id)
            await record_in(change.connection, "key.revoke", key.owner, key.id, after={"revoked_at": key.revoked_at})
        log.info("API key revoked", key_id=key.id, owner=key.owner)
        await self._authenticator.refresh()
        return key

    async def delete_ended(self) -> None:
        """Delete sessions that have ended, and keys that ended long ago."""
        await self._store.delete_ended(ENDED_KEYS_STAY, SESSION_IDLE)

    async def _insert(
        self,
        change: IdentityChange,
        caller: Caller,
        owner: str,
        name: str,
        scopes: Sequence[Scope],
        expires_at: datetime | None,
    ) -> tuple[str, ApiKey]:
        if await change.lock_owner(owner) >= MAX_KEYS_PER_OWNER:
            raise IngestError(TOO_MANY_KEYS)
        text = new_api_key(self._environment)
        key = await change.insert_key(
            id_of(text),
            owner,
            name,
            digest_of_key(text),
            hint_of(text),
            sorted_scopes(scopes),
            caller.key_id,
            expires_at,
        )
        if key is None:  # another key has the same id by chance
            return await self._insert(change, caller, owner, name, scopes, expires_at)
        described = {"name": name, "scopes": sorted_scopes(scopes), "expires_at": expires_at}
        await record_in(change.connection, "key.create", owner, key.id, after=described)
        log.info("API key created", key_id=key.id, owner=owner)
        return text, key

    async def _locked_key(self, change: IdentityChange, caller: Caller, key_id: str) -> ApiKey:
        key = await change.lock_key(key_id, None if caller.is_operator else caller.owner)
        if key is None:
            raise IngestError(KEY_NOT_FOUND)
        return key


def _raise(rejection: Rejection | None) -> None:
    if rejection is not None:
        raise IngestError(rejection)
