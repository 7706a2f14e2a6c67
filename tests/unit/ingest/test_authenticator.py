"""Look-ups of keys are remembered for a while, shared, bounded, and forgotten at once when a key changes."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from batchyard_contracts.api_keys import new_api_key
from services.ingest.domain.api_key import ApiKey, digest_of_key
from services.ingest.domain.caller import ANYBODY
from services.ingest.domain.scope import OWNER_SCOPES
from services.ingest.identity import authenticator as module
from services.ingest.identity.authenticator import Authenticator, Credential
from services.ingest.identity.usage_recorder import UsageRecorder
from services.ingest.persistence.identity_store import IdentityStore
from tests.support.patience import PATIENCE_S

TEXT = new_api_key("test")
AT = datetime(2026, 11, 30, tzinfo=UTC)
KEY = ApiKey(
    id="k1",
    owner="ann",
    name="",
    hint="",
    scopes=OWNER_SCOPES,
    created_at=AT,
    created_by=None,
    expires_at=None,
    revoked_at=None,
    replaced_by=None,
    last_used_at=None,
    last_used_from=None,
)


class FakeStore:
    """Keys by their hashes; counts the look-ups."""

    def __init__(self) -> None:
        self.keys = {digest_of_key(TEXT): KEY}
        self.sessions: dict[bytes, tuple[ApiKey, datetime]] = {}
        self.number = 1
        self.lookups = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.recorded: list[object] = []

    async def changes(self) -> int:
        return self.number

    async def find_key(self, digest: bytes) -> ApiKey | None:
        self.lookups += 1
        found = self.keys.get(digest)
        await self.gate.wait()
        return found

    async def find_session(self, digest: bytes, _: timedelta) -> tuple[ApiKey, datetime] | None:
        self.lookups += 1
        return self.sessions.get(digest)

    async def record_use(self, keys: object, sessions: object) -> None:
        self.recorded.append((keys, sessions))


class Parts:
    """An authenticator on a fake store, at a time that the test sets."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.now = AT
        store = cast("IdentityStore", self.store)
        self.usage = UsageRecorder(store)
        self.authenticator = Authenticator(store, self.usage, lambda: self.now)

    async def owner(self, credential: Credential | None) -> str | None:
        caller = await self.authenticator.caller(credential, "192.0.2.7")
        return caller.owner if caller else None


@pytest.fixture
async def parts() -> Parts:
    made = Parts()
    await made.authenticator.refresh()
    return made


GOOD = Credential.of_key(TEXT)


async def test_a_key_is_looked_up_once(parts: Parts) -> None:
    parts.store.gate.clear()
    asked = [asyncio.create_task(parts.owner(GOOD)) for _ in range(5)]
    await asyncio.sleep(0)
    parts.store.gate.set()
    assert await asyncio.gather(*asked) == ["ann"] * 5
    assert await parts.owner(GOOD) == "ann"
    assert parts.store.lookups == 1


async def test_an_unknown_key_is_looked_up_once_and_one_with_a_typing_error_never(parts: Parts) -> None:
    unknown = Credential.of_key(new_api_key("test"))
    assert [await parts.owner(unknown) for _ in range(3)] == [None] * 3
    assert parts.store.lookups == 1
    assert await parts.owner(Credential.of_key(TEXT[:-1] + "-")) is None
    assert parts.store.lookups == 1
    assert await parts.owner(None) is None


async def test_a_change_of_any_key_makes_all_be_looked_up_again(parts: Parts) -> None:
    assert await parts.owner(GOOD) == "ann"
    parts.store.keys.clear()
    parts.store.number += 1
    await parts.authenticator.refresh()
    assert await parts.owner(GOOD) is None


async def test_a_lookup_that_began_before_a_change_is_not_remembered(parts: Parts) -> None:
    parts.store.gate.clear()
    early = asyncio.create_task(parts.owner(GOOD))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert parts.store.lookups == 1
    parts.store.keys.clear()
    parts.store.number += 1
    await parts.authenticator.refresh()
    parts.store.gate.set()
    await early
    assert await parts.owner(GOOD) is None


async def test_nothing_remembered_counts_while_the_changes_cannot_be_read(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await parts.owner(GOOD) == "ann"
    parts.store.keys.clear()
    assert await parts.owner(GOOD) == "ann"
    monkeypatch.setattr(module, "TRUSTED_S", 0.0)
    assert await parts.owner(GOOD) is None


async def test_a_key_ends_at_its_time_although_it_is_remembered(parts: Parts) -> None:
    parts.store.keys[digest_of_key(TEXT)] = replace(KEY, expires_at=AT + timedelta(seconds=5))
    assert await parts.owner(GOOD) == "ann"
    parts.now = AT + timedelta(seconds=5)
    assert await parts.owner(GOOD) is None


async def test_a_key_is_no_session_and_a_session_no_key(parts: Parts) -> None:
    session = Credential.of_session("s" * 43)
    parts.store.sessions[session.digest] = (KEY, AT + timedelta(hours=1))
    caller = await parts.authenticator.caller(session, "")
    assert caller is not None
    assert (caller.owner, caller.by_session) == ("ann", True)
    assert await parts.owner(Credential.of_key("s" * 43)) is None
    assert await parts.owner(Credential.of_session(TEXT)) is None


async def test_remembered_lookups_are_bounded(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 3)
    for number in range(10):
        await parts.owner(Credential.of_key(f"unknown-token-{number:04}"))
    assert len(parts.authenticator._known) == 3


async def test_without_any_key_everybody_is_the_default_owner() -> None:
    parts = Parts()
    parts.store.number = 0
    await parts.authenticator.refresh()
    assert not parts.authenticator.keys_are_required
    assert await parts.authenticator.caller(None, "") == ANYBODY
    assert parts.store.lookups == 0


async def test_the_wait_for_the_end_of_a_key_ends_with_it(parts: Parts) -> None:
    waiting = asyncio.create_task(parts.authenticator.wait_until_ended(GOOD))
    parts.store.number += 1
    await parts.authenticator.refresh()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    parts.store.keys.clear()
    parts.store.number += 1
    await parts.authenticator.refresh()
    await asyncio.wait_for(waiting, PATIENCE_S)


async def test_the_last_use_is_collected_and_written_once(parts: Parts) -> None:
    for _ in range(3):
        await parts.owner(GOOD)
    await parts.usage.write()
    assert parts.store.recorded == [({"k1": (AT, "192.0.2.7")}, {})]


async def test_the_first_use_of_a_key_is_written_at_once_and_later_ones_once_a_minute(parts: Parts) -> None:
    await parts.owner(GOOD)
    assert parts.usage.wake.is_set()
    parts.usage.wake.clear()
    await parts.owner(GOOD)
    assert not parts.usage.wake.is_set()
