"""API keys over HTTP: made, listed, rotated and revoked, on every replica at once; and the keys of the settings."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import structlog.testing

from batchyard_contracts.api_keys import id_of, is_api_key, new_api_key
from batchyard_contracts.v1.events import KeyExpiring
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply
from devstack import Servers
from services.ingest.identity.authenticator import Authenticator
from services.ingest.identity.key_expiry import KeyExpiry
from services.ingest.persistence.identity_store import IdentityStore
from services.ingest.settings import IngestSettings
from shared.postgres.pool import open_pool
from shared.runtime.errors import ConfigurationError
from tests.support.patience import until
from tests.support.running_ingest import IngestHarness, connect_harness, running_ingest, start_ingest

OPERATOR_KEY = new_api_key("test")
TOKENS = {"ann": "a-token-for-the-tests", "bob": "b-token-for-the-tests"}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


OPERATOR = bearer(OPERATOR_KEY)


async def created(harness: IngestHarness, headers: dict[str, str] = OPERATOR, **fields: Any) -> dict[str, Any]:
    """Create a key, and return the answer."""
    status, answer = await harness.post("/keys", json={"name": "a key", "owner": "ann", **fields}, headers=headers)
    assert status == 201, answer
    found: dict[str, Any] = answer
    return found


async def status_of(harness: IngestHarness, key: str, path: str = "/session") -> int:
    return (await harness.get(path, headers=bearer(key)))[0]


async def delete(harness: IngestHarness, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    async with harness.http.delete(harness.url + path, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def test_an_operator_makes_a_key_for_an_owner_whose_hash_alone_is_stored(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, key_environment="test", announced=False) as harness:
        made = await created(harness, scopes=["batches:read", "results:read"])
        key = made["key"]
        assert is_api_key(key)
        assert key.startswith(f"by_test_{made['id']}")
        assert (made["owner"], made["scopes"]) == ("ann", ["batches:read", "results:read"])
        assert await status_of(harness, key) == 200
        (row,) = await harness.rows("SELECT api_keys::text AS whole FROM api_keys WHERE owner = 'ann'")
        assert key[16:-6] not in row["whole"]
        status, listed = await harness.get("/keys", headers=OPERATOR)
        assert (status, [each["owner"] for each in listed["keys"]]) == (200, ["ann", "operator"])
        assert key[16:-6] not in str(listed)


async def test_a_401_is_the_same_for_an_unknown_id_and_a_wrong_secret(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        known_id = id_of(OPERATOR_KEY)
        letters = iter(known_id + "x" * 32)
        forged = new_api_key("test", lambda _: next(letters))
        assert id_of(forged) == known_id
        answers = []
        for presented in (forged, new_api_key("test"), OPERATOR_KEY[:-1] + "-", "short", "x" * 1000):
            async with harness.http.get(f"{harness.url}/session", headers=bearer(presented)) as response:
                answers.append((response.status, await response.read()))
        assert {status for status, _ in answers} == {401}
        assert len({text for _, text in answers}) == 1


async def test_a_key_makes_no_key_with_more_scopes_or_for_another_owner(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        narrow = bearer((await created(harness, scopes=["keys:write", "batches:read"]))["key"])
        for fields, status in (
            ({"scopes": ["batches:read"]}, 201),
            ({"scopes": ["batches:write"]}, 403),
            ({"scopes": ["operate"]}, 403),
            ({"scopes": ["batches:read"], "owner": "bob"}, 403),
            ({"scopes": []}, 422),
            ({"scopes": ["everything"]}, 422),
            ({"scopes": ["batches:read"], "expires_at": "2020-01-01T00:00:00Z"}, 422),
        ):
            assert (await harness.post("/keys", json={"name": "x", **fields}, headers=narrow))[0] == status, fields
        reserved = {"name": "x", "owner": "all"}
        assert (await harness.post("/keys", json=reserved, headers=OPERATOR))[0] == 422
        without = bearer((await created(harness, scopes=["batches:read"]))["key"])
        status, problem = await harness.get("/keys", headers=without)
        assert (status, problem["code"]) == (403, "forbidden")
        assert "keys:write" in problem["detail"]


async def test_a_rotated_key_works_until_its_grace_has_passed(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        old = await created(harness, scopes=["batches:read", "keys:write"])
        path = f"/keys/{old['id']}/rotate"
        status, new = await harness.post(path, json={"grace_s": 3600}, headers=bearer(old["key"]))
        assert (status, new["name"], new["scopes"]) == (201, old["name"], old["scopes"])
        assert [await status_of(harness, one["key"]) for one in (old, new)] == [200, 200]
        status, problem = await harness.post(path, headers=OPERATOR)
        assert (status, problem["code"]) == (409, "already_rotated")
        status, last = await harness.post(path, json={"grace_s": 0, "force": True}, headers=OPERATOR)
        assert status == 201
        assert [await status_of(harness, one["key"]) for one in (old, new, last)] == [401, 200, 200]
        status, problem = await harness.post(path, json={"force": True}, headers=OPERATOR)
        assert (status, problem["code"]) == (409, "key_has_ended")


async def test_a_revoked_key_ends_within_a_second_on_every_replica(clean: Servers) -> None:
    async with AsyncExitStack() as stack:
        options = {"operator_key": OPERATOR_KEY, "announced": False}
        one, other = [await stack.enter_async_context(running_ingest(clean, **options)) for _ in range(2)]
        key = await created(one)
        assert [await status_of(each, key["key"]) for each in (one, other)] == [200, 200]
        status, revoked = await delete(one, f"/keys/{key['id']}", OPERATOR)
        assert status == 200
        assert revoked["revoked_at"]
        assert await status_of(one, key["key"]) == 401
        began = asyncio.get_running_loop().time()
        await until(lambda: status_of(other, key["key"]), lambda status: status == 401)
        assert asyncio.get_running_loop().time() - began < 2 * Authenticator.INTERVAL_S + 1
        assert (await delete(one, f"/keys/{key['id']}", OPERATOR))[1]["revoked_at"] == revoked["revoked_at"]


async def test_keys_of_another_owner_are_not_found(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        ann = await created(harness, scopes=["keys:write"])
        bob = await created(harness, scopes=["keys:write"], owner="bob")
        headers = bearer(bob["key"])
        assert (await delete(harness, f"/keys/{ann['id']}", headers))[1]["code"] == "key_not_found"
        assert (await harness.post(f"/keys/{ann['id']}/rotate", headers=headers))[0] == 404
        assert (await delete(harness, "/keys/absent00", headers))[0] == 404
        listed = (await harness.get("/keys", params={"owner": "ann"}, headers=headers))[1]["keys"]
        assert [each["owner"] for each in listed] == ["bob"]
        assert await status_of(harness, ann["key"]) == 200


async def test_an_owner_has_a_bounded_number_of_keys(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.identity.key_manager.MAX_KEYS_PER_OWNER", 3)
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        made = await asyncio.gather(
            *(harness.post("/keys", json={"name": "x", "owner": "ann"}, headers=OPERATOR) for _ in range(6))
        )
        assert sorted(status for status, _ in made) == [201] * 3 + [409] * 3
        assert {answer["code"] for status, answer in made if status == 409} == {"too_many_keys"}
        await created(harness, owner="bob")


async def test_the_last_use_of_a_key_is_recorded(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        key = await created(harness)
        began = datetime.now(UTC) - timedelta(seconds=1)
        assert await status_of(harness, key["key"]) == 200
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        listed = (await harness.get("/keys", headers=OPERATOR))[1]["keys"]
        (found,) = [each for each in listed if each["id"] == key["id"]]
        assert datetime.fromisoformat(found["last_used_at"]) > began
        assert found["last_used_from"] == "127.0.0.1"


async def test_the_end_of_a_key_is_announced_a_week_and_a_day_before_once_each(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        now = datetime.now(UTC)
        made: dict[float, str] = {}
        for days in (0.5, 6, 8):
            made[days] = (await created(harness, expires_at=(now + timedelta(days=days)).isoformat()))["id"]
        await created(harness, name="made for two days", expires_at=(now + timedelta(days=2)).isoformat())
        old = list(made.values())
        await harness.rows("UPDATE api_keys SET created_at = now() - interval '90 days' WHERE id = ANY ($1)", old)
        pool = await open_pool(IngestSettings(database_url=clean.database_url), "ingest", "services.ingest.persistence")
        expiries = [KeyExpiry(IdentityStore(pool), lambda: now) for _ in range(3)]
        await asyncio.gather(*(expiry.announce() for expiry in expiries))
        await expiries[0].announce()
        events = await harness.wait_for(KeyExpiring, 2)
        assert {event.key_id for event in events} == {made[0.5], made[6]}

        later = "expires_at = now() + interval '20 hours', expiry_told_at = now() - interval '5 days'"
        await harness.rows(f"UPDATE api_keys SET {later} WHERE id = $1", made[6])
        await expiries[0].announce()
        await expiries[0].announce()
        await pool.close()
        events = await harness.wait_for(KeyExpiring, 3)
        assert [event.key_id for event in events[2:]] == [made[6]]
        assert (events[2].name, events[2].routing_key()) == ("a key", "key.expiring.v1.unknown.ann")


async def test_tokens_of_the_settings_become_keys_once_with_a_warning(clean: Servers) -> None:
    with structlog.testing.capture_logs() as logs:
        async with running_ingest(clean, api_tokens=TOKENS, operators=["ann"]) as harness:
            ann, bob = (bearer(token) for token in TOKENS.values())
            assert "operate" in (await harness.get("/session", headers=ann))[1]["scopes"]
            assert "operate" not in (await harness.get("/session", headers=bob))[1]["scopes"]
            (bobs,) = [each for each in (await harness.get("/keys", headers=ann))[1]["keys"] if each["owner"] == "bob"]
            assert (await delete(harness, f"/keys/{bobs['id']}", ann))[0] == 200
    assert any(each["log_level"] == "warning" and "BATCHYARD_API_TOKENS" in each["event"] for each in logs)
    assert not any(token in str(logs) for token in TOKENS.values())
    async with running_ingest(clean, api_tokens=TOKENS) as harness:
        assert (await status_of(harness, TOKENS["ann"]), await status_of(harness, TOKENS["bob"])) == (200, 401)
    async with running_ingest(clean, announced=False) as harness:
        assert (await status_of(harness, TOKENS["ann"]), await status_of(harness, "x" * 20)) == (200, 401)


async def test_the_first_key_closes_the_door(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        status, meta = await harness.get("/meta")
        assert (status, meta["keys_required"], meta["owner"]) == (200, False, "default")
        made = await created(harness, headers={}, owner="default")
        assert (await harness.get("/meta"))[0] == 401
        status, meta = await harness.get("/meta", headers=bearer(made["key"]))
        assert (status, meta["keys_required"], meta["scopes"]) == (200, True, made["scopes"])
        assert meta["limits"]["items_per_command"] == 10_000
        assert meta["version"]


async def test_without_a_key_it_serves_this_machine_alone(clean: Servers) -> None:
    with pytest.raises(ConfigurationError, match="BATCHYARD_OPERATOR_KEY"):
        async with start_ingest(clean, http_host="0.0.0.0"):
            pass
    options: dict[str, Any] = {"http_host": "0.0.0.0", "operator_key": OPERATOR_KEY}
    with pytest.raises(ConfigurationError, match="BATCHYARD_HTTP_TLS_CERTIFICATE_FILE"):
        async with start_ingest(clean, **options):
            pass
    options["public_url"] = "https://jobs.example"
    async with start_ingest(clean, **options) as port, connect_harness(clean, port) as harness:
        assert (await harness.get("/session"))[0] == 401
        assert await status_of(harness, OPERATOR_KEY) == 200


async def test_a_foreign_page_changes_nothing_and_a_foreign_name_is_not_answered(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[])
        for headers, get, post in (
            ({}, 200, 404),
            ({"Host": "evil.example"}, 421, 421),
            ({"Origin": "https://evil.example"}, 200, 403),
            ({"Origin": "null"}, 200, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 200, 403),
            ({"Sec-Fetch-Site": "same-origin"}, 200, 404),
        ):
            path = "/batches/019a2b3c-0000-7000-8000-000000000001/pause"
            assert (await harness.get("/batches", headers=headers))[0] == get, headers
            assert (await harness.post(path, headers=headers))[0] == post, headers
        for headers, status in (({"Host": "evil.example"}, 421), ({"Sec-Fetch-Site": "cross-site"}, 403)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await harness.http.ws_connect(
                    f"{harness.url}/batches/019a2b3c-0000-7000-8000-000000000001/progress", headers=headers
                )
            assert refused.value.status == status


async def test_keys_are_in_no_log(clean: Servers, capfd: pytest.CaptureFixture[str]) -> None:
    with structlog.testing.capture_logs() as logs:
        async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
            key = (await created(harness))["key"]
            await status_of(harness, key)
            await status_of(harness, key[:-1] + "-")
            await harness.get("/batches", params={"name": key}, headers=bearer(key))
    said = capfd.readouterr()
    for text in (str(logs), said.out, said.err):
        assert key[16:] not in text
        assert OPERATOR_KEY[16:] not in text
