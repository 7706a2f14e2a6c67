"""The workload `http` over real HTTP: what it sends, how it judges, and what it refuses."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest
from pydantic import ValidationError

from batchyard_contracts.workload import Ambiguous, Context, Permanent, RateLimited, Transient, WorkloadError
from devstack import free_ports
from services.worker.workloads.http import workload
from services.worker.workloads.http.caller import Caller, open_caller
from services.worker.workloads.http.model import Call, CallAnswer
from tests.support.http_target import HttpTarget, http_target
from tests.support.raw_server import raw_server

KEY = "0123456789-of-the-operator"


@pytest.fixture
async def target(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpTarget]:
    async with http_target() as running:
        kept = {"origin": running.origins[0], "headers": {"X-Key": KEY}}
        credentials = {"crm": kept, "anns": {**kept, "owners": ["ann"]}}
        monkeypatch.setenv("BATCHYARD_HTTP_CALLS_ALLOWED_NETWORKS", "127.0.0.0/8")
        monkeypatch.setenv("BATCHYARD_HTTP_CALLS_CREDENTIALS", json.dumps(credentials))
        yield running


@pytest.fixture
async def caller(target: HttpTarget) -> AsyncIterator[Caller]:
    async with open_caller() as opened:
        yield opened


async def call(caller: Caller, url: str, *, owner: str = "bob", **fields: Any) -> CallAnswer:
    payload = {"url": url, **fields}
    validator = jsonschema_rs.validator_for(workload.manifest.item_schema)
    assert validator.is_valid(payload), payload
    context = Context(batch_id=UUID(int=1), ordinal=3, round=1, attempt=1, partition="", resources=caller, owner=owner)
    answer = await workload.run(Call.model_validate(payload), context)
    assert isinstance(answer, CallAnswer)
    written = json.loads(answer.model_dump_json())
    assert jsonschema_rs.validator_for(workload.manifest.result_schema).is_valid(written)
    return answer


async def refused(caller: Caller, url: str, **fields: Any) -> WorkloadError:
    with pytest.raises(WorkloadError) as caught:
        await call(caller, url, **fields)
    return caught.value


async def test_a_call_sends_its_method_headers_and_body(target: HttpTarget, caller: Caller) -> None:
    url = f"{target.origins[0]}/echo"
    answer = await call(caller, url, method="POST", json={"a": [1]}, headers={"X-Mine": "yes"})
    assert (answer.status, answer.encoding, answer.url) == (200, "json", url)
    assert answer.headers["etag"] == '"1"'
    assert "set-cookie" not in answer.headers
    said = answer.json_body
    assert (said["method"], said["body"]) == ("POST", '{"a":[1]}')
    assert said["headers"]["x-mine"] == "yes"
    assert said["headers"]["content-type"] == "application/json"
    assert said["headers"]["idempotency-key"] == f'"{UUID(int=1)}:3:1"'
    text = await call(caller, url, method="PUT", body="hällo", headers={"content-type": "text/csv"})
    assert (text.json_body["body"], text.json_body["headers"]["content-type"]) == ("hällo", "text/csv")
    null = await call(caller, url, method="POST", json=None)
    assert null.json_body["body"] == "null"
    plain = await call(caller, url)
    assert "idempotency-key" not in plain.json_body["headers"]


@pytest.mark.parametrize(
    ("kind", "encoding", "body", "truncated"),
    [
        ("big", "text", "x" * 65_536, True),
        ("bigjson", "text", '["' + "y" * 65_534, True),
        ("deep", "text", "[" * 200 + "]" * 200, False),
        ("nonsense", "text", "{not json", False),
        ("latin", "text", "café", False),
        ("null", "json", None, False),
        ("empty", "none", None, False),
    ],
)
async def test_an_answer_keeps_the_requested_part_of_its_body(
    kind: str, encoding: str, body: str | None, truncated: bool, target: HttpTarget, caller: Caller
) -> None:
    answer = await call(caller, f"{target.origins[0]}/body?kind={kind}")
    assert (answer.encoding, answer.body, answer.truncated) == (encoding, body, truncated)


async def test_bytes_are_kept_as_they_are(target: HttpTarget, caller: Caller) -> None:
    for kind, content in (("binary", bytes(range(256))), ("nul", b"a\0b")):
        answer = await call(caller, f"{target.origins[0]}/body?kind={kind}")
        assert answer.encoding == "base64"
        assert b64decode(answer.body or "") == content
    nothing = await call(caller, f"{target.origins[0]}/echo", keep_bytes=0)
    assert (nothing.encoding, nothing.bytes_kept, nothing.truncated) == ("none", 0, True)


@pytest.mark.parametrize(
    ("success", "code"),
    [
        ({"pointer": "/state/ready", "equals": True}, None),
        ({"pointer": "/n", "equals": 7.0}, None),
        ({"pointer": "/method", "matches": "^G.T$"}, None),
        ({"matches": '"ready": *true'}, None),
        ({"statuses": [201, "2xx"], "pointer": "/n"}, None),
        ({"statuses": [404]}, "http_200"),
        ({"pointer": "/state/ready", "equals": 1}, "unexpected_answer"),
        ({"pointer": "/nowhere"}, "unexpected_answer"),
        ({"pointer": "/nowhere", "equals": None}, "unexpected_answer"),
        ({"matches": "never said"}, "unexpected_answer"),
        ({"matches": "(a+"}, "invalid_rule"),
        ({"matches": "(?<=a)b"}, "invalid_rule"),
    ],
)
async def test_a_rule_of_success_decides_the_outcome(
    success: dict[str, Any], code: str | None, target: HttpTarget, caller: Caller
) -> None:
    url = f"{target.origins[0]}/echo"
    if code is None:
        assert (await call(caller, url, success=success)).status == 200
    else:
        error = await refused(caller, url, success=success)
        assert (type(error), error.code, error.scope) == (Permanent, code, "item")


async def test_a_rule_for_a_failure_and_a_rule_that_cannot_be_told(target: HttpTarget, caller: Caller) -> None:
    gone = await call(caller, f"{target.origins[0]}/status/404", success={"statuses": [404, 410]})
    assert gone.status == 404
    rule = {"pointer": "/0"}
    error = await refused(caller, f"{target.origins[0]}/body?kind=bigjson", success=rule)
    assert error.code == "response_too_large"
    error = await refused(caller, f"{target.origins[0]}/body?kind=nonsense", success=rule)
    assert error.code == "unexpected_answer"


async def test_a_pattern_that_would_make_others_backtrack_for_ever(target: HttpTarget, caller: Caller) -> None:
    error = await refused(caller, f"{target.origins[0]}/body?kind=big", success={"matches": "^(x+x+)+y$"})
    assert error.code == "unexpected_answer"


@pytest.mark.parametrize(
    ("method", "path", "kind", "code"),
    [
        ("GET", "/status/500", Transient, "http_500"),
        ("GET", "/status/408", Transient, "http_408"),
        ("GET", "/status/522", Transient, "http_522"),
        ("GET", "/status/501", Permanent, "http_501"),
        ("GET", "/status/401", Permanent, "http_401"),
        ("GET", "/status/404", Permanent, "http_404"),
        ("GET", "/status/302?Location=/echo", Permanent, "http_302"),
        ("GET", "/drop", Transient, "incomplete_response"),
        ("GET", "/cut", Transient, "incomplete_response"),
        ("GET", "/hang", Transient, "timeout"),
        ("PUT", "/status/502", Transient, "http_502"),
        ("POST", "/status/502", Ambiguous, "needs_review"),
        ("POST", "/status/408", Transient, "http_408"),
        ("POST", "/status/400", Permanent, "http_400"),
        ("POST", "/hang", Ambiguous, "needs_review"),
        ("POST", "/drop", Ambiguous, "needs_review"),
        ("PATCH", "/cut", Ambiguous, "needs_review"),
    ],
)
async def test_a_failure_has_the_code_of_its_cause(
    method: str, path: str, kind: type[WorkloadError], code: str, target: HttpTarget, caller: Caller
) -> None:
    error = await refused(caller, target.origins[0] + path, method=method, timeout_s=0.3)
    assert (type(error), error.code, error.scope) == (kind, code, "item")
    assert target.calls[path.partition("?")[0]] == 1 or method == "GET"  # the HTTP client may repeat a GET


async def test_an_idempotency_key_makes_a_call_repeatable(target: HttpTarget, caller: Caller) -> None:
    url = f"{target.origins[0]}/hang"
    by_word = await refused(caller, url, method="POST", timeout_s=0.2, repeatable=True)
    by_key = await refused(caller, url, method="POST", timeout_s=0.2, headers={"Idempotency-Key": "mine"})
    never = await refused(caller, url, method="PUT", timeout_s=0.2, repeatable=False)
    assert [type(error) for error in (by_word, by_key, never)] == [Transient, Transient, Ambiguous]
    assert target.keys[:2] == [f'"{UUID(int=1)}:3:1"', "mine"]


async def test_an_unreachable_destination_is_transient_even_for_a_call_that_must_not_be_repeated(
    caller: Caller,
) -> None:
    (port,) = free_ports(1)
    error = await refused(caller, f"http://127.0.0.1:{port}/", method="POST")
    assert (type(error), error.code) == (Transient, "unreachable")
    error = await refused(caller, "http://nowhere.invalid/", method="POST")
    assert (type(error), error.code) == (Transient, "unreachable")


@pytest.mark.parametrize(
    ("path", "delay_s", "code"),
    [
        ("/status/429?Retry-After=7", 7.0, "rate_limited"),
        ("/status/429", None, "rate_limited"),
        ('/status/429?RateLimit="default";r=0;t=30', 30.0, "rate_limited"),
        ("/status/503?Retry-After=2", 2.0, "unavailable"),
    ],
)
async def test_a_pause_is_obeyed(
    path: str, delay_s: float | None, code: str, target: HttpTarget, caller: Caller
) -> None:
    error = await refused(caller, target.origins[0] + path, method="POST")
    assert isinstance(error, RateLimited)
    assert (error.delay_s, error.code) == (delay_s, code)


async def test_each_redirect_is_followed_or_refused_by_its_own_rule(target: HttpTarget, caller: Caller) -> None:
    here, there = target.origins
    mine = {"X-Api-Key": "secret-of-the-item", "Accept": "application/json"}
    same = await call(caller, f"{here}/redirect?to=/echo", redirects=1, headers=mine)
    assert (same.url, same.json_body["headers"]["x-api-key"]) == (f"{here}/echo", "[redacted]")
    away = await call(caller, f"{here}/redirect?to={there}/echo", redirects=1, headers=mine)
    assert away.url == f"{there}/echo"
    assert "x-api-key" not in away.json_body["headers"]
    assert away.json_body["headers"]["accept"] == "application/json"
    error = await refused(caller, f"{here}/redirect?to=/redirect?to=/echo", redirects=1)
    assert error.code == "too_many_redirects"
    error = await refused(caller, f"{here}/redirect?to=file:///etc/passwd", redirects=1)
    assert error.code == "redirect_refused"


async def test_private_addresses_are_refused_on_every_hop(target: HttpTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHYARD_HTTP_CALLS_ALLOWED_NETWORKS", "127.0.0.1/32")
    here, there = target.origins
    async with open_caller() as narrow:
        assert (await call(narrow, f"{here}/echo")).status == 200
        for url in (f"{there}/echo", f"{here}/redirect?to={there}/echo", "http://169.254.169.254/", "http://[::1]/"):
            error = await refused(narrow, url, redirects=2)
            assert (type(error), error.code) == (Permanent, "address_refused"), url
            assert "BATCHYARD_HTTP_CALLS_ALLOWED_NETWORKS" in error.message
    assert target.calls["/echo"] == 1


async def test_credentials_go_to_their_origin_alone_and_never_come_back(target: HttpTarget, caller: Caller) -> None:
    here, there = target.origins
    answer = await call(caller, f"{here}/echo", credential="crm")
    assert answer.json_body["headers"]["x-key"] == "[redacted]"
    assert KEY not in answer.model_dump_json()
    for url, name in ((f"{there}/echo", "crm"), (f"{here}/echo", "other")):
        error = await refused(caller, url, credential=name)
        assert (type(error), error.code) == (Permanent, "credential_refused")
    assert KEY not in repr(caller)
    bearer = {"Authorization": "Bearer abcdefghij"}
    assert "abcdefghij" not in (await call(caller, f"{here}/echo", headers=bearer)).model_dump_json()
    error = await refused(caller, f"{here}/status/400?body=no+abcdefghij+here", headers=bearer)
    assert "no [redacted] here" in error.message


async def test_a_credential_serves_the_owners_that_the_operator_names(target: HttpTarget, caller: Caller) -> None:
    url = f"{target.origins[0]}/echo"
    answer = await call(caller, url, credential="anns", owner="ann")
    assert answer.json_body["headers"]["x-key"] == "[redacted]"
    error = await refused(caller, url, credential="anns", owner="bob")
    assert (type(error), error.code) == (Permanent, "credential_refused")
    assert "x-key" not in (await call(caller, url)).json_body["headers"]


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "ftp://example.com/"},
        {"url": "http://user@example.com/"},
        {"body": "a", "json": {}},
        {"headers": {"Host": "other"}},
        {"headers": {"X-A": "1", "x-a": "2"}},
        {"headers": {"X-A": "a\r\nX-B: b"}},
        {"headers": {"X A": "1"}},
        {"method": "POST", "redirects": 1},
        {"method": "TRACE"},
        {"success": {"equals": 1}},
        {"success": {"statuses": []}},
        {"timeout_s": 121},
        {"keep_bytes": 300_000},
        {"success": {"matches": "a" * 201}},
        {"unknown": 1},
    ],
)
def test_an_invalid_call_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Call.model_validate({"url": "http://example.com/", **fields})


async def test_odd_addresses_end_cleanly(caller: Caller) -> None:
    for url in ("http://example.com:99999/", "http://[::zz]/", "http://./", "http://a..b/"):
        error = await refused(caller, url)
        assert error.code in {"url_refused", "unreachable"}, url


@pytest.mark.parametrize(
    ("size", "method", "code"),
    [
        (34_000, "GET", None),
        (34_000, "POST", None),
        (70_000, "GET", "headers_too_large"),
        (70_000, "POST", "needs_review"),
    ],
)
async def test_headers_are_accepted_up_to_64_kb(size: int, method: str, code: str | None, caller: Caller) -> None:
    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX-Policy: " + b"x" * size + b"\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with raw_server(answering) as port:
        url = f"http://127.0.0.1:{port}/"
        if code is None:
            assert (await call(caller, url, method=method)).status == 200
        else:
            error = await refused(caller, url, method=method)
            assert error.code == code
            assert "64 KB" in error.message
