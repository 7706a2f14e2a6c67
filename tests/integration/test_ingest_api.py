"""The API describes itself, shows its page without the internet, and says on every answer what a browser may do."""

import json
import re

from openapi_spec_validator import OpenAPIV31SpecValidator

from devstack import Servers
from tests.support.running_ingest import SQUARES, Around, at_work

TOKENS = {"ann": "a-token-for-the-tests", "bob": "b-token-for-the-tests"}


def root(found: Around) -> str:
    return found.url.removesuffix("/api/v1")


async def test_openapi(clean: Servers) -> None:
    async with at_work(clean) as found:
        async with found.http.get(f"{root(found)}/openapi.json") as response:
            document = json.loads(await response.read())
        OpenAPIV31SpecValidator(document).validate()
        paths = {path: set(item) for path, item in document["paths"].items()}
        assert paths == {
            "/api/v1/batches": {"get", "post"},
            "/api/v1/batches/{batch_id}": {"get", "patch"},
            "/api/v1/batches/{batch_id}/items": {"post"},
            "/api/v1/batches/{batch_id}/seal": {"post"},
            "/api/v1/batches/{batch_id}/{action}": {"post"},
            "/api/v1/batches/{batch_id}/retry": {"post"},
            "/api/v1/dead-letters": {"get"},
            "/api/v1/dead-letters/{queue}/{letter_id}": {"get"},
            "/api/v1/dead-letters/{queue}/{action}": {"post"},
            "/api/v1/workloads/{name}/forget": {"post"},
            "/api/v1/batches/{batch_id}/results": {"get"},
            "/api/v1/batches/{batch_id}/failures": {"get"},
            "/api/v1/workloads": {"get"},
            "/api/v1/workloads/{name}": {"get"},
            "/api/v1/workers": {"get"},
            "/api/v1/recommendations": {"post"},
            "/api/v1/rates": {"get"},
            "/api/v1/rates/{workload}": {"get", "put", "delete"},
            "/api/v1/rates/{workload}/close": {"post"},
        }
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if method == "parameters":
                    continue
                assert operation["summary"], path
                assert operation["operationId"], path
                problems = {s: r for s, r in operation["responses"].items() if s >= "400"}
                assert "401" in problems, path
                for status, answer in problems.items():
                    assert list(answer["content"]) == ["application/problem+json"], (path, method)
                    assert ("Retry-After" in answer.get("headers", {})) == (status in {"429", "503", "504"}), path
        submit = document["paths"]["/api/v1/batches"]["post"]
        assert set(submit["requestBody"]["content"]) == {"application/json", "application/x-ndjson", "text/csv"}
        assert "example" in submit["requestBody"]["content"]["application/json"]
        assert "BatchSubmit" in document["components"]["schemas"]
        assert "HTTPValidationError" not in document["components"]["schemas"]
        assert "security" not in document


async def test_the_page_needs_nothing_from_elsewhere(clean: Servers) -> None:
    async with at_work(clean) as found:
        async with found.http.get(f"{root(found)}/") as response:
            page = await response.text()
            assert response.url.path == "/docs"
            policy = response.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
        links = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert links
        assert all(link.startswith("/docs/") for link in links)
        assert not re.search(r"<script[^>]*>[^<]", page)
        for link in links:
            async with found.http.get(root(found) + link) as response:
                assert response.status == 200, link
                assert await response.read(), link


async def test_every_answer_has_its_headers(clean: Servers) -> None:
    async with at_work(clean) as found:
        for path, status in (("/workloads", 200), ("/nothing", 404), ("/batches/x", 422)):
            async with found.http.get(found.url + path) as response:
                assert response.status == status
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["X-Frame-Options"] == "DENY"
                assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
                assert response.headers["Cache-Control"] == "no-store"
                assert "Server" not in response.headers
                assert "Access-Control-Allow-Origin" not in response.headers


async def test_tokens(clean: Servers) -> None:
    async with at_work(clean, api_tokens=TOKENS) as found:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {TOKENS['ann']}"},
            {"Authorization": TOKENS["ann"]},
            {"Authorization": "Bearer "},
        ):
            async with found.http.get(f"{found.url}/workloads", headers=headers) as response:
                assert response.status == 401, headers
                assert response.headers["WWW-Authenticate"].startswith("Bearer")
                assert (await response.json(content_type=None))["code"] == "unauthorized"
        for token in TOKENS.values():
            status, _ = await found.get("/workloads", headers={"Authorization": f"bearer {token}"})
            assert status == 200
        async with found.http.get(f"{root(found)}/openapi.json") as response:
            document = json.loads(await response.read())
        assert document["security"] == [{"bearer": []}]


async def test_workloads(clean: Servers) -> None:
    async with at_work(clean) as found:
        status, listed = await found.get("/workloads")
        assert (status, [each["name"] for each in listed["workloads"]]) == (200, ["squares"])
        newer = SQUARES.model_copy(update={"version": "2", "item_schema": {"type": "object", "required": ["m"]}})
        await found.announce(newer)
        shown = (await found.get("/workloads/squares"))[1]
        assert (shown["version"], shown["item_schema"]["required"]) == ("2", ["m"])
        assert shown["example"] == {"n": 3}
        assert shown["exports"]["cue"]["suffix"] == ".cue"
        body = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
        assert (await found.post("/batches", json=body))[0] == 422


async def test_a_workload_that_cannot_be_read_stops_nothing(clean: Servers) -> None:
    """Another version of the service may have written it."""
    async with at_work(clean) as found:
        await found.rows(
            "INSERT INTO workloads (name, version, manifest, worker_id, announced_at) "
            "VALUES ('odd', '1', '{\"name\": \"odd\"}', 'w', now())"
        )
        async with at_work(clean) as other:
            for each in (found, other):
                listed = (await each.get("/workloads"))[1]["workloads"]
                assert [workload["name"] for workload in listed] == ["squares"]
                status, problem = await each.post("/batches", json={"workload": "odd", "items": [{"payload": {}}]})
                assert (status, problem["code"]) == (422, "unknown_workload")
