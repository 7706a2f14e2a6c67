"""An API key as it is stored, and the decisions on new, rotated and ended keys."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from batchyard_contracts.api_keys import id_of, is_api_key
from services.ingest.domain.caller import Caller
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.scope import Scope, missing_scopes

MAX_KEYS_PER_OWNER = 200
"""Largest number of keys of an owner, with those that ended in the last `ENDED_KEYS_STAY`."""
ENDED_KEYS_STAY = timedelta(days=30)
MAX_LIFETIME = timedelta(days=3650)
MAX_GRACE_S = 7 * 86_400
DEFAULT_GRACE_S = 86_400
KEY_NOT_FOUND = Rejection("key_not_found", "There is no such key. Check the id, and that the key is yours.", 404)
TOO_MANY_KEYS = Rejection(
    "too_many_keys",
    f"An owner has at most {MAX_KEYS_PER_OWNER} keys, with those that ended in the last {ENDED_KEYS_STAY.days} days. "
    "Revoke keys that are not used.",
    409,
)
KEY_HAS_ENDED = Rejection("key_has_ended", "The key was revoked or has expired. Create another one.", 409)
ALREADY_ROTATED = Rejection(
    "already_rotated",
    "The key was rotated before, and both it and its successor work still. Rotate the successor, or set `force`.",
    409,
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret."""

    id: str
    owner: str
    name: str
    hint: str
    """Beginning and end of the key, by which people recognise it; empty for a token."""
    scopes: frozenset[Scope]
    created_at: datetime
    created_by: str | None
    """Id of the key that created it; None for one of the settings."""
    expires_at: datetime | None
    revoked_at: datetime | None
    replaced_by: str | None
    last_used_at: datetime | None
    last_used_from: str | None

    def ends_at(self) -> datetime | None:
        """Return the time from which the key does not work; None when there is none."""
        ends = [at for at in (self.expires_at, self.revoked_at) if at is not None]
        return min(ends) if ends else None


def digest_of_key(presented: str) -> bytes:
    """Return the hash by which a key is stored. The secret has 190 random bits, so that a fast hash is right."""
    return sha256(presented.encode()).digest()


def hint_of(key: str) -> str:
    """Return the part of a key by which people recognise it; of a token, which may be a word, nothing."""
    return f"{key[: key.rindex('_') + 1]}{id_of(key)}…{key[-4:]}" if is_api_key(key) else ""


def reason_against_creation(
    caller: Caller, owner: str, scopes: Iterable[Scope], expires_at: datetime | None, now: datetime
) -> Rejection | None:
    """Return the reason why a caller may not create such a key; None when it may."""
    if owner != caller.owner and not caller.is_operator:
        return Rejection(
            "forbidden",
            "A key for another owner takes the scope `operate`. Leave `owner` out.",
            403,
        )
    if missing := missing_scopes(scopes, caller.scopes):
        return Rejection(
            "forbidden", f"A key creates keys of its own scopes or fewer, and yours lacks {', '.join(missing)}.", 403
        )
    if expires_at is not None and not now < expires_at <= now + MAX_LIFETIME:
        return Rejection("invalid_request", "`expires_at` is a time in the future, at most ten years ahead.")
    return None


def reason_against_rotation(key: ApiKey, caller: Caller, now: datetime, *, force: bool) -> Rejection | None:
    """Return the reason why a key is not rotated; None when it may be."""
    ends_at = key.ends_at()
    if ends_at is not None and ends_at <= now:
        return KEY_HAS_ENDED
    if missing := missing_scopes(key.scopes, caller.scopes):
        return Rejection(
            "forbidden", f"The successor would have scopes that your key lacks: {', '.join(missing)}.", 403
        )
    return ALREADY_ROTATED if key.replaced_by is not None and not force else None


def successor_expires_at(key: ApiKey, now: datetime) -> datetime | None:
    """Return the end of the key that replaces another one: it lives as long as that one was to live."""
    return None if key.expires_at is None else now + (key.expires_at - key.created_at)
