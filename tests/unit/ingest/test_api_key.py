"""Decisions on API keys: who may create which, and which may be rotated."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from batchyard_contracts.api_keys import new_api_key
from services.ingest.domain.api_key import (
    ALREADY_ROTATED,
    KEY_HAS_ENDED,
    ApiKey,
    hint_of,
    reason_against_creation,
    reason_against_rotation,
    successor_expires_at,
)
from services.ingest.domain.caller import Caller
from services.ingest.domain.scope import ALL_SCOPES, OWNER_SCOPES, Scope

NOW = datetime(2026, 11, 30, tzinfo=UTC)
OPERATOR = Caller("operator", ALL_SCOPES, "op")
ANN = Caller("ann", OWNER_SCOPES, "a")
NARROW = Caller("ann", frozenset[Scope]({"keys:write", "batches:read"}), "n")
KEY = ApiKey(
    id="k",
    owner="ann",
    name="nightly",
    hint="",
    scopes=frozenset[Scope]({"batches:read"}),
    created_at=NOW - timedelta(days=10),
    created_by=None,
    expires_at=NOW + timedelta(days=20),
    revoked_at=None,
    replaced_by=None,
    last_used_at=None,
    last_used_from=None,
)


@pytest.mark.parametrize(
    ("caller", "owner", "scopes", "allowed"),
    [
        (ANN, "ann", ["batches:write"], True),
        (ANN, "bob", ["batches:write"], False),
        (ANN, "ann", ["batches:write", "operate"], False),
        (ANN, "ann", ["payloads:read"], False),
        (NARROW, "ann", ["batches:read"], True),
        (NARROW, "ann", ["results:read"], False),
        (OPERATOR, "bob", ["operate"], True),
    ],
)
def test_a_key_creates_keys_of_its_own_scopes_or_fewer(
    caller: Caller, owner: str, scopes: list[Scope], allowed: bool
) -> None:
    reason = reason_against_creation(caller, owner, scopes, None, NOW)
    assert (reason is None) == allowed
    assert reason is None or reason.status == 403


@pytest.mark.parametrize(("days", "allowed"), [(-1, False), (0, False), (1, True), (3650, True), (3651, False)])
def test_a_key_ends_in_the_future_and_within_ten_years(days: int, allowed: bool) -> None:
    assert (reason_against_creation(ANN, "ann", [], NOW + timedelta(days=days), NOW) is None) == allowed


def test_a_key_is_rotated_once_unless_forced() -> None:
    assert reason_against_rotation(KEY, ANN, NOW, force=False) is None
    rotated = replace(KEY, replaced_by="next")
    assert reason_against_rotation(rotated, ANN, NOW, force=False) is ALREADY_ROTATED
    assert reason_against_rotation(rotated, ANN, NOW, force=True) is None
    for ended in (replace(KEY, revoked_at=NOW), replace(KEY, expires_at=NOW)):
        assert reason_against_rotation(ended, ANN, NOW, force=True) is KEY_HAS_ENDED


def test_a_key_with_more_scopes_is_not_rotated() -> None:
    reason = reason_against_rotation(replace(KEY, scopes=ALL_SCOPES), ANN, NOW, force=True)
    assert reason is not None
    assert "operate" in reason.detail


def test_a_successor_lives_as_long_as_its_predecessor() -> None:
    assert successor_expires_at(KEY, NOW) == NOW + timedelta(days=30)
    assert successor_expires_at(replace(KEY, expires_at=None), NOW) is None


def test_a_hint_shows_no_secret() -> None:
    key = new_api_key("live")
    assert hint_of(key) == f"{key[:16]}…{key[-4:]}"
    assert hint_of("a word that somebody has chosen") == ""
