"""Sessions of browsers: a key is exchanged for a cookie, which ends with it, and changes nothing for foreign pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie

import aiohttp
import pytest

from batchyard_contracts.api_keys import new_api_key
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply
from devstack import Servers
from tests.integration.test_ingest_keys import OPERATOR, OPERATOR_KEY, bearer, created, delete
from tests.support.patience import PATIENCE_S, until
from tests.support.running_ingest import IngestHarness, running_ingest

UNSAFE = "/batches/019a2b3c-0000-7000-8000-000000000001/pause"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "X-Batchyard": "1"}


@asynccontextmanager
async def ingest(servers: Servers, **settings: object) -> AsyncIterator[IngestHarness]:
    async with running_ingest(servers, operator_key=OPERATOR_KEY, announced=False, **settings) as harness:
        harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[])
        yield harness


async def sign_in(harness: IngestHarness, key: str) -> tuple[dict[str, str], SimpleCookie]:
    """Exchange a key for a session; return the header of its cookie, and the cookie as it was set."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser,
        browser.post(f"{harness.url}/session", headers=bearer(key)) as response,
    ):
        assert response.status == 201
        cookie = SimpleCookie(response.headers["Set-Cookie"])
    ((name, morsel),) = cookie.items()
    return {"Cookie": f"{name}={morsel.value}"}, cookie


async def test_a_key_is_exchanged_for_a_cookie_that_scripts_cannot_read(clean: Servers) -> None:
    async with ingest(clean) as harness:
        key = await created(harness, scopes=["batches:read"])
        headers, cookie = await sign_in(harness, key["key"])
        morsel = cookie["batchyard"]
        assert (morsel["httponly"], morsel["samesite"], morsel["path"], morsel["secure"]) == (True, "strict", "/", "")
        assert morsel["max-age"] == "43200"
        status, shown = await harness.get("/session", headers=headers)
        assert (status, shown["owner"], shown["by_session"], shown["scopes"]) == (200, "ann", True, ["batches:read"])
        assert (await harness.get("/keys", headers=headers))[0] == 403
        (row,) = await harness.rows("SELECT sessions::text AS whole FROM sessions")
        assert morsel.value not in row["whole"]
        assert (await harness.get("/session", headers={"Cookie": "batchyard=other"}))[0] == 401


async def test_behind_https_the_cookie_is_bound_to_host_and_https(clean: Servers) -> None:
    async with ingest(clean, public_url="https://jobs.example") as harness:
        headers, cookie = await sign_in(harness, OPERATOR_KEY)
        assert cookie["__Host-batchyard"]["secure"] is True
        assert (await harness.get("/session", headers=headers))[0] == 200
        unsafe = {**headers, "X-Batchyard": "1"}
        for origin, status in (("https://jobs.example", 404), ("https://evil.example", 403)):
            assert (await harness.post(UNSAFE, headers={**unsafe, "Origin": origin}))[0] == status


async def test_a_session_changes_something_for_its_own_pages_alone(clean: Servers) -> None:
    async with ingest(clean) as harness:
        headers, _ = await sign_in(harness, OPERATOR_KEY)
        own = {"Sec-Fetch-Site": "same-origin"}
        for more, status in (
            ({}, 403),
            ({"X-Batchyard": "1"}, 403),
            (own, 403),
            ({**own, "X-Batchyard": "1"}, 404),
            ({"Origin": harness.url.removesuffix("/api/v1"), "X-Batchyard": "1"}, 404),
            ({"Sec-Fetch-Site": "none", "X-Batchyard": "1"}, 403),
            ({"Sec-Fetch-Site": "cross-site", "X-Batchyard": "1"}, 403),
        ):
            assert (await harness.post(UNSAFE, headers={**headers, **more}))[0] == status, more
        assert (await harness.post(UNSAFE, headers=OPERATOR))[0] == 404


async def test_a_session_ends_by_itself_on_request_and_with_its_key(clean: Servers) -> None:
    async with ingest(clean) as harness:
        key = await created(harness)
        own = {"Sec-Fetch-Site": "same-origin", "X-Batchyard": "1"}
        one, other, idle, old = [(await sign_in(harness, key["key"]))[0] for _ in range(4)]
        async with harness.http.delete(f"{harness.url}/session", headers={**one, **own}) as response:
            assert response.status == 204
            assert SimpleCookie(response.headers["Set-Cookie"])["batchyard"]["max-age"] == "0"
        assert (await harness.get("/session", headers=one))[0] == 401
        assert (await harness.get("/session", headers=other))[0] == 200
        await harness.rows(
            "WITH turned AS (SELECT sha256, row_number() OVER (ORDER BY created_at) AS place FROM sessions) "
            "UPDATE sessions SET used_at = CASE place WHEN 2 THEN now() - interval '61 min' ELSE used_at END, "
            "expires_at = CASE place WHEN 3 THEN now() ELSE expires_at END FROM turned "
            "WHERE sessions.sha256 = turned.sha256"
        )
        assert [(await harness.get("/session", headers=each))[0] for each in (other, idle, old)] == [200, 401, 401]
        await delete(harness, f"/keys/{key['id']}", OPERATOR)
        assert (await harness.get("/session", headers=other))[0] == 401


async def test_a_session_is_had_for_a_key_alone(clean: Servers) -> None:
    async with ingest(clean) as harness:
        for headers in ({}, bearer(new_api_key("test"))):
            assert (await harness.post("/session", headers=headers))[0] == 401
        headers, _ = await sign_in(harness, OPERATOR_KEY)
        own = {"Sec-Fetch-Site": "same-origin", "X-Batchyard": "1"}
        assert (await harness.post("/session", headers={**headers, **own}))[0] == 401
    async with running_ingest(clean, announced=False) as harness:
        assert (await harness.post("/session", headers=OPERATOR))[0] == 201


async def test_the_sessions_of_a_key_are_bounded(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.persistence.identity_store.MAX_SESSIONS_PER_KEY", 2)
    async with ingest(clean) as harness:
        found = [(await sign_in(harness, OPERATOR_KEY))[0] for _ in range(3)]
        await until(lambda: harness.get("/session", headers=found[0]), lambda answer: answer[0] == 401)
        assert [(await harness.get("/session", headers=each))[0] for each in found] == [401, 200, 200]


async def test_a_websocket_opens_by_the_cookie_of_its_own_page_and_closes_with_the_key(clean: Servers) -> None:
    async with ingest(clean) as harness:
        await harness.announce(headers=OPERATOR)
        key = await created(harness, scopes=["batches:write", "batches:read"])
        body = {"workload": "squares", "items": [{"payload": {"n": 1}}], "sealed": False}
        status, accepted = await harness.post("/batches", json=body, headers=bearer(key["key"]))
        assert status == 202
        headers, _ = await sign_in(harness, key["key"])
        url = f"{harness.url}/batches/{accepted['batch_id']}/progress"
        page = {"Origin": harness.url.removesuffix("/api/v1")}
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await harness.http.ws_connect(url, headers={**headers, "Origin": "https://evil.example"})
        async with harness.http.ws_connect(url, headers={**headers, **page}) as socket:
            assert (await socket.receive(timeout=PATIENCE_S)).type is aiohttp.WSMsgType.TEXT
            await delete(harness, f"/keys/{key['id']}", OPERATOR)
            while (frame := await socket.receive(timeout=PATIENCE_S)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert (frame.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1008)


async def test_a_link_signs_in_once(clean: Servers) -> None:
    async with ingest(clean) as harness:
        key = await created(harness, scopes=["batches:read"])
        status, link = await harness.post("/session/links", headers=bearer(key["key"]))
        assert status == 201
        token = link["path"].removeprefix("/#sign-in=")
        (row,) = await harness.rows("SELECT sign_in_links::text AS whole FROM sign_in_links")
        assert token not in row["whole"]
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser,
            browser.post(f"{harness.url}/session/redeem", json={"token": token}) as response,
        ):
            assert (response.status, (await response.json())["owner"]) == (201, "ann")
            ((name, morsel),) = SimpleCookie(response.headers["Set-Cookie"]).items()
        headers = {"Cookie": f"{name}={morsel.value}"}
        assert (await harness.get("/session", headers=headers))[0] == 200
        assert (await harness.post("/session/redeem", json={"token": token}))[0] == 401
        assert (await harness.post("/session/links", headers={**headers, **OWN_PAGE}))[0] == 401


async def test_a_link_ends_with_its_time_and_with_its_key(clean: Servers) -> None:
    async with ingest(clean) as harness:
        key = await created(harness)
        for end in ("UPDATE sign_in_links SET expires_at = now()", "UPDATE api_keys SET revoked_at = now()"):
            token = (await harness.post("/session/links", headers=bearer(key["key"])))[1]["path"].rpartition("=")[2]
            await harness.rows(end)
            assert (await harness.post("/session/redeem", json={"token": token}))[0] == 401


async def test_a_token_that_is_too_long_is_refused_before_it_is_looked_up(clean: Servers) -> None:
    async with ingest(clean) as harness:
        assert (await harness.post("/session/redeem", json={"token": "x" * 300}))[0] == 422
        assert (await harness.post("/session/redeem", json={"token": "x" * 30_000}))[0] == 413
