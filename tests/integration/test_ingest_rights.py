"""Every route of the HTTP API asks for its scopes, and shows an owner what is its own alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from batchyard_contracts.api_keys import new_api_key
from batchyard_contracts.v1.queries import (
    BatchesQuery,
    BatchesReply,
    FailuresQuery,
    FailuresReply,
    OutcomesQuery,
    OutcomesReply,
    RatesQuery,
    RatesReply,
    ReasonsQuery,
    ReasonsReply,
    ResultsQuery,
    ResultsReply,
    SeriesQuery,
    SeriesReply,
    StatesQuery,
    StatesReply,
    WorkersQuery,
    WorkersReply,
    WorkerState,
)
from devstack import Servers
from services.ingest.domain.scope import ALL_SCOPES, OWNER_SCOPES, Scope, sorted_scopes
from services.ingest.http.openapi_file import document
from tests.support.running_ingest import SQUARES, IngestHarness, running_ingest

OPERATOR_KEY = new_api_key("test")
ABSENT = "019a2b3c-0000-7000-8000-000000000001"
PLACES = {"batch_id": ABSENT, "name": "squares", "workload": "squares", "question": "absent", "key_id": "absent00"}
PLACES |= {"template": "absent", "schedule": "absent"}
PLACES |= {"export_id": ABSENT}
PLACES |= {"ordinal": "0", "action_id": ABSENT, "queue": "absent.queue", "dead_letter_id": "absent"}
NOTHING: set[Scope] = set()
FILTERED = {"GET /keys", "GET /audit", "GET /overview", "GET /retention", "GET /series"}
"""Operations whose parameter `owner` narrows what they show; without the scope `operate` it has no effect."""

WITHOUT_DISPATCHER = {"DELETE /rates/{workload}", "POST /rates/{workload}/close"}
"""Operations that are allowed, and then wait in vain for the dispatcher, which these tests do without."""

RIGHTS: dict[str, tuple[set[Scope], set[Scope] | None]] = {
    "POST /batches": ({"batches:write"}, None),
    "POST /batch-check": ({"batches:write"}, None),
    "POST /estimates": ({"batches:write"}, None),
    "GET /batches": ({"batches:read"}, {"operate"}),
    "GET /batches/{batch_id}": ({"batches:read"}, {"operate"}),
    "PATCH /batches/{batch_id}": ({"batches:write"}, {"operate"}),
    "GET /batches/{batch_id}/failures": ({"batches:read"}, {"operate", "payloads:read"}),
    "GET /batches/{batch_id}/deliveries": ({"batches:read"}, {"operate"}),
    "GET /batches/{batch_id}/reasons": ({"batches:read"}, {"operate"}),
    "GET /batches/{batch_id}/timeline": ({"batches:read"}, {"operate"}),
    "GET /batches/{batch_id}/series": ({"batches:read"}, {"operate"}),
    "GET /batches/{batch_id}/items": ({"batches:read"}, {"operate", "payloads:read"}),
    "GET /batches/{batch_id}/items/{ordinal}": ({"results:read"}, {"operate", "payloads:read"}),
    "POST /batches/{batch_id}/items": ({"batches:write"}, None),
    "POST /batches/{batch_id}/seal": ({"batches:write"}, {"operate"}),
    "POST /batches/{batch_id}/pause": ({"batches:write"}, {"operate"}),
    "POST /batches/{batch_id}/resume": ({"batches:write"}, {"operate"}),
    "POST /batches/{batch_id}/cancel": ({"batches:write"}, {"operate"}),
    "POST /batches/{batch_id}/finish": ({"operate"}, {"operate"}),
    "DELETE /batches/{batch_id}": ({"batches:write"}, {"operate"}),
    "GET /batches/{batch_id}/deletion": ({"batches:read"}, {"operate"}),
    "GET /retention": (NOTHING, None),
    "PATCH /retention": ({"operate"}, None),
    "POST /owners/{name}/erase": ({"operate"}, None),
    "GET /owners/{name}/erasure": ({"operate"}, None),
    "POST /batches/{batch_id}/remedies": ({"operate"}, {"operate"}),
    "GET /stuck": ({"operate"}, None),
    "POST /batches/{batch_id}/retry": ({"batches:write"}, {"operate"}),
    "POST /batches/{batch_id}/accept-results": ({"batches:write"}, {"operate"}),
    "GET /batches/{batch_id}/results": ({"results:read"}, {"operate", "payloads:read"}),
    "POST /batches/{batch_id}/exports": ({"results:read"}, {"operate", "payloads:read"}),
    "GET /batches/{batch_id}/exports": ({"results:read"}, {"operate", "payloads:read"}),
    "GET /batches/{batch_id}/exports/{export_id}": ({"results:read"}, {"operate", "payloads:read"}),
    "DELETE /batches/{batch_id}/exports/{export_id}": ({"batches:write"}, {"operate"}),
    "GET /batches/{batch_id}/exports/{export_id}/files/{name}": ({"results:read"}, {"operate", "payloads:read"}),
    "GET /overview": ({"batches:read"}, None),
    "GET /series": ({"batches:read"}, None),
    "POST /batch-actions": ({"batches:write"}, None),
    "GET /batch-actions": ({"batches:read"}, None),
    "GET /batch-actions/{action_id}": ({"batches:read"}, None),
    "GET /workloads": (NOTHING, None),
    "GET /workloads/{name}": (NOTHING, None),
    "POST /workloads/{name}/invalidate-cache": ({"batches:write"}, None),
    "POST /workloads/{name}/questions/{question}": ({"batches:write"}, None),
    "GET /workers": (NOTHING, None),
    "GET /rates": ({"batches:read"}, None),
    "GET /rates/{workload}": ({"batches:read"}, None),
    "PUT /rates/{workload}": ({"operate"}, None),
    "DELETE /rates/{workload}": ({"operate"}, None),
    "POST /rates/{workload}/close": ({"operate"}, None),
    "GET /templates": ({"batches:read"}, None),
    "POST /templates": ({"schedules:write"}, None),
    "GET /templates/{template}": ({"batches:read"}, None),
    "GET /templates/{template}/versions": ({"batches:read"}, None),
    "GET /templates/{template}/difference": ({"batches:read"}, None),
    "POST /templates/{template}/restore": ({"schedules:write"}, None),
    "POST /templates/{template}/submit": ({"batches:write"}, None),
    "DELETE /templates/{template}": ({"schedules:write"}, None),
    "GET /schedules": ({"batches:read"}, None),
    "PUT /schedules/{schedule}": ({"batches:write", "schedules:write"}, None),
    "POST /schedule-preview": ({"batches:read"}, None),
    "GET /schedules/{schedule}": ({"batches:read"}, None),
    "DELETE /schedules/{schedule}": ({"schedules:write"}, None),
    "GET /schedules/{schedule}/times": ({"batches:read"}, None),
    "GET /schedules/{schedule}/runs": ({"batches:read"}, None),
    "POST /schedules/{schedule}/pause": ({"schedules:write"}, None),
    "POST /schedules/{schedule}/resume": ({"schedules:write"}, None),
    "POST /schedules/{schedule}/run": ({"batches:write", "schedules:write"}, None),
    "POST /schedules/{schedule}/backfill": ({"batches:write", "schedules:write"}, None),
    "GET /batches/{batch_id}/lineage": ({"batches:read"}, {"operate"}),
    "GET /keys": ({"keys:write"}, None),
    "POST /keys": ({"keys:write"}, None),
    "POST /keys/{key_id}/rotate": ({"keys:write"}, None),
    "DELETE /keys/{key_id}": ({"keys:write"}, None),
    "GET /limits": (NOTHING, None),
    "GET /owners/batches": ({"operate"}, None),
    "GET /owners/limits": ({"operate"}, None),
    "GET /owners/{name}/limits": ({"operate"}, None),
    "PATCH /owners/{name}/limits": ({"operate"}, None),
    "DELETE /owners/{name}/limits": ({"operate"}, None),
    "POST /session": (NOTHING, None),
    "POST /session/links": (NOTHING, None),
    "GET /session": (NOTHING, None),
    "DELETE /session": (NOTHING, None),
    "GET /meta": (NOTHING, None),
    "GET /audit": ({"keys:write"}, None),
    "GET /dead-letters": ({"operate"}, None),
    "GET /dead-letters/{queue}/{dead_letter_id}": ({"operate", "payloads:read"}, None),
    "POST /dead-letters/{queue}/replay": ({"operate"}, None),
    "POST /dead-letters/{queue}/drop": ({"operate"}, None),
}
"""For each operation the scopes that it takes, and the further ones that it takes to name another owner; None: no other
owner can be named."""
WITHOUT_KEY = {"POST /session/redeem"}
"""Operations that need no key: the token of a link is enough."""


def operations() -> dict[str, dict[str, Any]]:
    """The operations of the document, by method and path below the prefix."""
    return {
        f"{method.upper()} {path.removeprefix('/api/v1')}": operation
        for path, item in document()["paths"].items()
        for method, operation in item.items()
    }


def test_every_operation_has_its_rights_here_and_in_the_document() -> None:
    found = operations()
    assert found.keys() == RIGHTS.keys() | WITHOUT_KEY, "A new route needs a line in RIGHTS."
    assert {name for name, operation in found.items() if operation.get("security") == []} == WITHOUT_KEY
    for name, (scopes, others) in RIGHTS.items():
        operation = found[name]
        (security,) = operation.get("security", [{"bearer": []}])
        assert set(security["bearer"]) == scopes, name
        assert ("403" in operation["responses"]) >= bool(scopes), name
        named = [one["name"] for one in operation.get("parameters", [])]
        assert ("owner" in named and name not in FILTERED) == (others is not None), name


@asynccontextmanager
async def ingest(servers: Servers) -> AsyncIterator[IngestHarness]:
    async with running_ingest(servers, operator_key=OPERATOR_KEY, announced=False) as harness:
        seen_at = datetime.now(UTC)
        worker = WorkerState(
            worker_id="host-1", workloads=["squares"], chunks=[ABSENT], running=3, stopping=False, seen_at=seen_at
        )
        harness.answers |= {
            BatchesQuery: lambda _: BatchesReply(batches=[]),
            FailuresQuery: lambda _: FailuresReply(),
            ResultsQuery: lambda _: ResultsReply(items=[]),
            RatesQuery: lambda _: RatesReply(rates=[]),
            ReasonsQuery: lambda _: ReasonsReply(),
            StatesQuery: lambda _: StatesReply(),
            OutcomesQuery: lambda _: OutcomesReply(),
            SeriesQuery: lambda _: SeriesReply(),
            WorkersQuery: lambda _: WorkersReply(workers=[worker]),
        }
        await harness.announce(headers=bearer(OPERATOR_KEY))
        yield harness


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def key_of(harness: IngestHarness, owner: str, *scopes: Scope) -> dict[str, str]:
    """Create a key; return the headers that send it."""
    body = {"name": "a key", "owner": owner, "scopes": sorted_scopes(scopes)}
    status, made = await harness.post("/keys", json=body, headers=bearer(OPERATOR_KEY))
    assert status == 201
    return bearer(made["key"])


async def call(harness: IngestHarness, name: str, headers: dict[str, str], **options: Any) -> tuple[int, Any]:
    method, _, path = name.partition(" ")
    for place, value in PLACES.items():
        path = path.replace(f"{{{place}}}", value)
    async with harness.http.request(method, harness.url + path, headers=headers, **options) as response:
        return response.status, await response.json(content_type=None) if response.status != 204 else None


async def test_every_operation_with_every_scope(clean: Servers) -> None:
    async with ingest(clean) as harness:
        keys = {scope: await key_of(harness, "ann", scope) for scope in sorted_scopes(ALL_SCOPES)}
        for name, (scopes, _) in RIGHTS.items():
            status, problem = await call(harness, name, {})
            assert (status, problem["code"]) == (401, "unauthorized"), name
            for scope, headers in keys.items():
                status, problem = await call(harness, name, headers)
                allowed = scopes <= {scope}
                assert (status != 403) == allowed, (name, scope, status)
                assert status != 401
                assert status < 500 or (name in WITHOUT_DISPATCHER and status == 504), (name, scope, problem)
                if not allowed:
                    assert any(one in problem["detail"] for one in scopes - {scope}), problem


async def test_every_operation_on_another_owner(clean: Servers) -> None:
    async with ingest(clean) as harness:
        ann = await key_of(harness, "ann", *OWNER_SCOPES)
        for name, (scopes, others) in RIGHTS.items():
            if others is None:
                continue
            status, problem = await call(harness, name, ann, params={"owner": "bob"})
            assert (status, problem["code"]) == (403, "forbidden"), name
            enough = await key_of(harness, "operator", *scopes, *others)
            status, _ = await call(harness, name, enough, params={"owner": "bob"})
            assert status not in {401, 403}, name
            for missing in others:
                less = await key_of(harness, "operator", *((scopes | others) - {missing}), "keys:write")
                assert (await call(harness, name, less, params={"owner": "bob"}))[0] == 403, name


async def test_a_batch_of_another_owner_is_not_found(clean: Servers) -> None:
    async with ingest(clean) as harness:
        ann, bob = [await key_of(harness, owner, *OWNER_SCOPES) for owner in ("ann", "bob")]
        body = {"workload": "squares", "items": [{"payload": {"n": 1}}], "sealed": False}
        status, accepted = await harness.post("/batches", json=body, headers=bob)
        assert status == 202
        bodies: dict[str, Any] = {"PATCH /batches/{batch_id}": {"priority": "low"}}
        bodies["POST /batches/{batch_id}/exports"] = {"format": "csv"}
        bodies["POST /batches/{batch_id}/items"] = {"sequence": 0, "items": [{"payload": {"n": 1}}]}
        bodies["POST /batches/{batch_id}/accept-results"] = {"reason": "they are right"}
        operator = await key_of(harness, "operator", "batches:read", "operate")
        for name in [name for name, (scopes, _) in RIGHTS.items() if "{batch_id}" in name and "operate" not in scopes]:
            method, _, path = name.partition(" ")
            url = harness.url + path.replace("{batch_id}", accepted["batch_id"]).replace("{ordinal}", "0")
            url = url.replace("{export_id}", ABSENT).replace("{name}", "manifest.json")
            async with harness.http.request(method, url, json=bodies.get(name), headers=ann) as response:
                assert (response.status, (await response.json(content_type=None))["code"]) == (404, "batch_not_found")
        for headers, wanted in ((ann, 404), (operator, 404)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await harness.http.ws_connect(f"{harness.url}/batches/{accepted['batch_id']}/progress", headers=headers)
            assert refused.value.status == wanted
        socket = f"{harness.url}/batches/{accepted['batch_id']}/progress"
        for owner, headers, wanted in (("bob", ann, 403), ("carl", operator, 404), ("no.dots", operator, 422)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await harness.http.ws_connect(socket, params={"owner": owner}, headers=headers)
            assert refused.value.status == wanted
        async with harness.http.ws_connect(socket, params={"owner": "bob"}, headers=operator) as opened:
            assert not opened.closed
        shown = await harness.get(f"/batches/{accepted['batch_id']}", params={"owner": "bob"}, headers=operator)
        assert (shown[0], shown[1]["owner"]) == (200, "bob")


async def test_rates_workers_and_caches_show_and_touch_what_is_the_owners_alone(clean: Servers) -> None:
    async with ingest(clean) as harness:
        ann = await key_of(harness, "ann", *OWNER_SCOPES)
        operator = bearer(OPERATOR_KEY)
        asked: list[RatesQuery] = []
        harness.answers[RatesQuery] = lambda query: asked.append(query) or RatesReply(rates=[])  # type: ignore[func-returns-value]
        for headers in (ann, operator):
            for path in ("/rates", "/rates/squares"):
                assert (await harness.get(path, headers=headers))[0] == 200
        assert [query.owner for query in asked] == ["ann", "ann", None, None]
        (own,) = (await harness.get("/workers", headers=ann))[1]["workers"]
        (whole,) = (await harness.get("/workers", headers=operator))[1]["workers"]
        assert (own["worker_id"], own["chunks"], own["running"]) == ("1", [], 3)
        assert (whole["worker_id"], whole["chunks"]) == ("host-1", [ABSENT])
        await harness.announce(SQUARES.model_copy(update={"version": "2", "cache_ttl_s": 60}), headers=operator)
        path = "/workloads/squares/invalidate-cache"
        for headers, body, status in ((ann, {"payload": {"n": 1}}, 202), (ann, {}, 403), (operator, {}, 202)):
            assert (await harness.post(path, json=body, headers=headers))[0] == status
