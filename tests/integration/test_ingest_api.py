"""HTTP API: its OpenAPI description, Swagger UI, security headers, tokens and workloads."""

import io
import json
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from openapi_spec_validator import OpenAPIV31SpecValidator

from batchyard_contracts.v1.flow import WorkerAnnounced
from batchyard_contracts.v1.manifest import Question
from batchyard_contracts.v1.queries import MAX_QUESTION_BYTES, QuestionError, WorkloadQuery, WorkloadReply
from devstack import Servers
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.settings import IngestSettings
from shared.postgres.pool import open_pool
from tests.support.patience import until
from tests.support.running_ingest import SQUARES, IngestHarness, running_ingest

TOKENS = {"ann": "a-token-for-the-tests", "bob": "b-token-for-the-tests"}


def root(harness: IngestHarness) -> str:
    return harness.url.removesuffix("/api/v1")


async def test_the_openapi_description_is_complete(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        async with harness.http.get(f"{root(harness)}/openapi.json") as response:
            document = json.loads(await response.read())
        OpenAPIV31SpecValidator(document).validate()
        paths = {path: set(item) for path, item in document["paths"].items()}
        assert paths == {
            "/api/v1/batches": {"get", "post"},
            "/api/v1/estimates": {"post"},
            "/api/v1/batches/{batch_id}": {"get", "patch", "delete"},
            "/api/v1/batches/{batch_id}/deletion": {"get"},
            "/api/v1/retention": {"get", "patch"},
            "/api/v1/owners/{name}/erase": {"post"},
            "/api/v1/owners/{name}/erasure": {"get"},
            "/api/v1/batches/{batch_id}/items": {"get", "post"},
            "/api/v1/batches/{batch_id}/items/{ordinal}": {"get"},
            "/api/v1/batches/{batch_id}/seal": {"post"},
            "/api/v1/batches/{batch_id}/pause": {"post"},
            "/api/v1/batches/{batch_id}/resume": {"post"},
            "/api/v1/batches/{batch_id}/cancel": {"post"},
            "/api/v1/batches/{batch_id}/finish": {"post"},
            "/api/v1/batches/{batch_id}/remedies": {"post"},
            "/api/v1/stuck": {"get"},
            "/api/v1/batches/{batch_id}/retry": {"post"},
            "/api/v1/batches/{batch_id}/accept-results": {"post"},
            "/api/v1/batches/{batch_id}/lineage": {"get"},
            "/api/v1/templates": {"get", "post"},
            "/api/v1/templates/{template}": {"get", "delete"},
            "/api/v1/templates/{template}/versions": {"get"},
            "/api/v1/templates/{template}/difference": {"get"},
            "/api/v1/templates/{template}/restore": {"post"},
            "/api/v1/templates/{template}/submit": {"post"},
            "/api/v1/schedules": {"get"},
            "/api/v1/schedule-preview": {"post"},
            "/api/v1/schedules/{schedule}": {"get", "put", "delete"},
            "/api/v1/schedules/{schedule}/times": {"get"},
            "/api/v1/schedules/{schedule}/pause": {"post"},
            "/api/v1/schedules/{schedule}/resume": {"post"},
            "/api/v1/schedules/{schedule}/run": {"post"},
            "/api/v1/schedules/{schedule}/runs": {"get"},
            "/api/v1/schedules/{schedule}/backfill": {"post"},
            "/api/v1/limits": {"get"},
            "/api/v1/owners/batches": {"get"},
            "/api/v1/owners/limits": {"get"},
            "/api/v1/owners/{name}/limits": {"get", "patch", "delete"},
            "/api/v1/dead-letters": {"get"},
            "/api/v1/dead-letters/{queue}/{dead_letter_id}": {"get"},
            "/api/v1/dead-letters/{queue}/replay": {"post"},
            "/api/v1/dead-letters/{queue}/drop": {"post"},
            "/api/v1/workloads/{name}/invalidate-cache": {"post"},
            "/api/v1/batches/{batch_id}/results": {"get"},
            "/api/v1/batches/{batch_id}/exports": {"get", "post"},
            "/api/v1/batches/{batch_id}/exports/{export_id}": {"get", "delete"},
            "/api/v1/batches/{batch_id}/exports/{export_id}/files/{name}": {"get"},
            "/api/v1/batches/{batch_id}/failures": {"get"},
            "/api/v1/batches/{batch_id}/deliveries": {"get"},
            "/api/v1/batches/{batch_id}/reasons": {"get"},
            "/api/v1/batch-check": {"post"},
            "/api/v1/batches/{batch_id}/timeline": {"get"},
            "/api/v1/batches/{batch_id}/series": {"get"},
            "/api/v1/series": {"get"},
            "/api/v1/overview": {"get"},
            "/api/v1/batch-actions": {"get", "post"},
            "/api/v1/batch-actions/{action_id}": {"get"},
            "/api/v1/workloads": {"get"},
            "/api/v1/workloads/{name}": {"get"},
            "/api/v1/workers": {"get"},
            "/api/v1/workloads/{name}/questions/{question}": {"post"},
            "/api/v1/rates": {"get"},
            "/api/v1/rates/{workload}": {"get", "put", "delete"},
            "/api/v1/rates/{workload}/close": {"post"},
            "/api/v1/keys": {"get", "post"},
            "/api/v1/keys/{key_id}": {"delete"},
            "/api/v1/keys/{key_id}/rotate": {"post"},
            "/api/v1/session": {"get", "post", "delete"},
            "/api/v1/session/links": {"post"},
            "/api/v1/session/redeem": {"post"},
            "/api/v1/meta": {"get"},
            "/api/v1/audit": {"get"},
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
        assert document["security"] == [{"bearer": []}]
        assert document["paths"]["/api/v1/keys"]["post"]["security"] == [{"bearer": ["keys:write"]}]


async def test_a_wrong_method_names_all_methods_of_its_path(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch = f"{harness.url}/batches/{UUID(int=1)}"
        for method, address, allowed in (
            ("DELETE", f"{harness.url}/batches", "GET, POST"),
            ("PUT", batch, "GET, PATCH, DELETE"),
            ("POST", f"{batch}/results", "GET"),
            ("GET", f"{batch}/pause", "POST"),
            ("POST", f"{harness.url}/rates/squares", "GET, PUT, DELETE"),
            ("POST", f"{root(harness)}/openapi.json", "GET, HEAD"),
            ("GET", f"{harness.url}/schedule-preview", "POST"),
            ("POST", f"{harness.url}/schedules/preview", "GET, PUT, DELETE"),
        ):
            async with harness.http.request(method, address) as response:
                assert (response.status, response.headers["Allow"]) == (405, allowed), address


async def test_parameters_with_control_characters_or_out_of_range_are_refused(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch = f"{harness.url}/batches/{UUID(int=1)}"
        rates = f"{harness.url}/rates/squares"
        for method, address, parameters in (
            ("GET", rates, {"partition": "a\x00"}),
            ("DELETE", rates, {"partition": "a\x1f"}),
            ("POST", f"{rates}/close", {"partition": "\x7f"}),
            ("GET", f"{batch}/results", {"after": str(2**31)}),
            ("GET", f"{harness.url}/batches", {"name": "x" * 201}),
            ("GET", f"{harness.url}/batches", {"name": "a\x00"}),
        ):
            async with harness.http.request(method, address, params=parameters) as response:
                assert response.status == 422, address


async def test_swagger_ui_works_without_internet_access(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        async with harness.http.get(f"{root(harness)}/docs") as response:
            page = await response.text()
            policy = response.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
        links = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert links
        assert all(link.startswith("/docs/") for link in links)
        assert not re.search(r"<script[^>]*>[^<]", page)
        for link in links:
            async with harness.http.get(root(harness) + link) as response:
                assert response.status == 200, link
                assert await response.read(), link


async def test_every_response_has_security_headers(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        for path, status in (("/workloads", 200), ("/nothing", 404), ("/batches/x", 422)):
            async with harness.http.get(harness.url + path) as response:
                assert response.status == status
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["X-Frame-Options"] == "DENY"
                assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
                assert response.headers["Cache-Control"] == "no-store"
                assert "Server" not in response.headers
                assert "Access-Control-Allow-Origin" not in response.headers


async def test_tokens_are_required_and_separate_owners(clean: Servers) -> None:
    async with running_ingest(clean, api_tokens=TOKENS) as harness:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {TOKENS['ann']}"},
            {"Authorization": TOKENS["ann"]},
            {"Authorization": "Bearer "},
        ):
            async with harness.http.get(f"{harness.url}/workloads", headers=headers) as response:
                assert response.status == 401, headers
                assert response.headers["WWW-Authenticate"].startswith("Bearer")
                assert (await response.json(content_type=None))["code"] == "unauthorized"
        for token in TOKENS.values():
            status, _ = await harness.get("/workloads", headers={"Authorization": f"bearer {token}"})
            assert status == 200
        async with harness.http.get(f"{root(harness)}/openapi.json") as response:
            document = json.loads(await response.read())
        assert document["security"] == [{"bearer": []}]


async def test_workloads_are_listed_and_shown(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        status, listed = await harness.get("/workloads")
        assert (status, [each["name"] for each in listed["workloads"]]) == (200, ["squares"])
        newer = SQUARES.model_copy(update={"version": "2", "item_schema": {"type": "object", "required": ["m"]}})
        await harness.announce(newer)
        shown = (await harness.get("/workloads/squares"))[1]
        assert (shown["version"], shown["item_schema"]["required"]) == ("2", ["m"])
        assert shown["example"] == {"n": 3}
        assert shown["exports"]["cue"]["suffix"] == ".cue"
        body = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
        assert (await harness.post("/batches", json=body))[0] == 422


async def test_the_announcement_that_arrives_last_holds_whatever_the_clock_of_its_worker(clean: Servers) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    async with running_ingest(clean) as harness, running_ingest(clean) as other:
        await harness.announce(SQUARES.model_copy(update={"version": "2"}), at=tomorrow)
        rolled_back = WorkerAnnounced(worker_id="w0", manifests=[SQUARES], started_at=datetime.now(UTC))
        await harness.announce(SQUARES)
        await until(lambda: other.get("/workloads/squares"), lambda answer: answer[1]["version"] == "1")
        await harness.announce(SQUARES.model_copy(update={"version": "3"}))
        pool = await open_pool(IngestSettings(database_url=clean.database_url), "ingest", "services.ingest.persistence")
        await WorkloadRegistry(pool).register(rolled_back, redelivered=True)  # a message that was stuck somewhere
        assert [row["version"] for row in await harness.rows("SELECT version FROM workloads")] == ["3"]
        await pool.close()


async def test_a_question_is_checked_asked_and_answered(clean: Servers) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    root = Question(request_schema=schema, answer_schema={}, timeout_s=0.2)
    path = "/workloads/squares/questions/root"
    async with running_ingest(clean) as harness:
        await harness.announce(SQUARES.model_copy(update={"version": "2", "questions": {"root": root}}))
        assert (await harness.get("/workloads/squares"))[1]["questions"]["root"]["request_schema"] == schema
        status, problem = await harness.post(path, json={"n": 9})
        assert (status, problem["code"]) == (504, "question_timeout")
        assert "'root' of 'squares'" in problem["detail"]
        await harness.answer_questions("squares", "root")
        harness.answers[WorkloadQuery] = lambda query: WorkloadReply(answer={"root": query.request["n"] ** 0.5})
        assert await harness.post(path, json={"n": 9}) == (200, {"root": 3.0})
        for error, wanted in (
            (QuestionError(code="too_odd", message="It is odd.", scope="request"), 422),
            (QuestionError(code="busy", scope="workload"), 502),
        ):
            harness.answers[WorkloadQuery] = lambda _, error=error: WorkloadReply(error=error)  # type: ignore[misc]
            status, problem = await harness.post(path, json={"n": 9})
            assert (status, problem["code"]) == (wanted, error.code)
        for other, content, wanted, code in (
            (path, b'{"n": "9"}', 422, "invalid_question"),
            (path, b" " * (MAX_QUESTION_BYTES + 1), 413, "message_too_large"),
            ("/workloads/squares/questions/rot", b'{"n": 9}', 404, "unknown_question"),
            ("/workloads/cubes/questions/root", b'{"n": 9}', 404, "unknown_workload"),
        ):
            status, problem = await harness.post(
                other, data=io.BytesIO(content), headers={"Content-Type": "application/json"}
            )
            assert (status, problem["code"]) == (wanted, code)


async def test_an_unreadable_workload_does_not_affect_others(clean: Servers) -> None:
    """The row may have been written by another version of the service."""
    async with running_ingest(clean) as harness:
        await harness.rows(
            "INSERT INTO workloads (name, version, manifest, worker_id, announced_at) "
            "VALUES ('odd', '1', '{\"name\": \"odd\"}', 'w', now())"
        )
        async with running_ingest(clean) as other:
            for each in (harness, other):
                listed = (await each.get("/workloads"))[1]["workloads"]
                assert [workload["name"] for workload in listed] == ["squares"]
                status, problem = await each.post("/batches", json={"workload": "odd", "items": [{"payload": {}}]})
                assert (status, problem["code"]) == (422, "unknown_workload")
