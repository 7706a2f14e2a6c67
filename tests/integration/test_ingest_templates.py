"""Templates are saved in versions, compared, restored and submitted, over HTTP and AMQP."""

from typing import Any

from batchyard_contracts.api_keys import new_api_key
from batchyard_contracts.v1.commands import CommandAccepted
from batchyard_contracts.v1.flow import BatchAccepted
from batchyard_contracts.v1.templates import TemplateSave, TemplateSaved, TemplateSubmit
from devstack import Servers
from tests.support.running_ingest import IngestHarness, running_ingest

FORM: dict[str, Any] = {
    "name": "numbers",
    "description": "squares of numbers",
    "parameters": {
        "properties": {"items": {"type": "array"}, "team": {"type": "string", "default": "search"}},
        "required": ["items"],
    },
    "body": {"workload": "squares", "items": [], "labels": {"team": ""}},
    "fill": {"/items": "items", "/labels/team": "team", "/labels/owner": "@owner"},
}
PARAMETERS: dict[str, Any] = {"items": [{"payload": {"n": 3}}]}
BUILT_IN = ["event-tracklists", "weekly-portfolio"]


async def delete(harness: IngestHarness, path: str, **options: Any) -> tuple[int, Any]:
    async with harness.http.delete(harness.url + path, **options) as response:
        return response.status, await response.json(content_type=None) if response.status != 204 else None


async def test_versions_are_immutable_and_can_be_compared_and_restored(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        assert (await harness.post("/templates", json=FORM))[1]["version"] == 1
        assert (await harness.post("/templates", json=FORM))[1]["version"] == 1, "the same content is no new version"
        changed = FORM | {"body": FORM["body"] | {"priority": "low"}}
        status, second = await harness.post("/templates", json=changed)
        assert (status, second["version"], second["body"]["priority"]) == (201, 2, "low")
        first = (await harness.get("/templates/numbers", params={"version": "1"}))[1]
        assert (first["body"], first["created_by"], first["shared"]) == (FORM["body"], "default", False)
        path = "/templates/numbers/difference"
        (change,) = (await harness.get(path, params={"before": "1"}))[1]["changes"]
        assert change == {"pointer": "/body/priority", "after": "low"}
        status, restored = await harness.post("/templates/numbers/restore", json={"version": 1})
        assert (status, restored["version"], restored["body"]) == (201, 3, FORM["body"])
        versions = (await harness.get("/templates/numbers/versions"))[1]["versions"]
        assert [one["version"] for one in versions] == [3, 2, 1]
        listed = (await harness.get("/templates"))[1]["templates"]
        assert [(one["name"], one["version"]) for one in listed] == [
            ("event-tracklists", 1),
            ("numbers", 3),
            ("weekly-portfolio", 1),
        ]
        page = (await harness.get("/templates", params={"limit": "1", "after": "event-tracklists"}))[1]
        assert ([one["name"] for one in page["templates"]], page["next_after"]) == (["numbers"], "numbers")
        audited = (await harness.get("/audit", params={"action": "template.save"}))[1]["entries"]
        assert [entry["after"]["version"] for entry in audited] == [3, 2, 1]


async def test_a_template_is_submitted_over_http(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await harness.post("/templates", json=FORM)
        run = {"parameters": PARAMETERS, "name": "mine", "priority": "immediate"}
        headers = {"Idempotency-Key": "k"}
        status, accepted = await harness.post("/templates/numbers/submit", json=run, headers=headers)
        assert (status, accepted["items"], accepted["replayed"]) == (202, 1, False)
        again = await harness.post("/templates/numbers/submit", json=run, headers=headers)
        assert (again[1]["batch_id"], again[1]["replayed"]) == (accepted["batch_id"], True)
        (announced,) = await harness.wait_for(BatchAccepted)
        assert (announced.name, announced.priority) == ("mine", "immediate")
        assert announced.labels == {"team": "search", "owner": "default"}
        for parameters, code in (({}, "invalid_parameters"), ({"items": [{"payload": {"n": -1}}]}, "invalid_item")):
            status, problem = await harness.post("/templates/numbers/submit", json={"parameters": parameters})
            assert (status, problem["code"]) == (422, code)
        status, problem = await harness.post("/templates/numbers/submit", json=run | {"version": 9})
        assert (status, problem["code"]) == (404, "template_not_found")


async def test_a_template_is_saved_and_submitted_over_amqp(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        command = TemplateSave.model_validate(FORM)
        saved: Any = await harness.command(command)
        assert isinstance(saved, TemplateSaved)
        assert (saved.name, saved.version, saved.owner) == ("numbers", 1, "default")
        shared: Any = await harness.command(command.model_copy(update={"shared": True}))
        assert shared.code == "forbidden", "a message does not tell that its sender is an operator"
        accepted = await harness.command(TemplateSubmit(template="numbers", parameters=PARAMETERS))
        assert isinstance(accepted, CommandAccepted)
        (announced,) = await harness.wait_for(BatchAccepted)
        assert announced.batch_id == accepted.batch_id
        refused: Any = await harness.command(TemplateSubmit(template="absent"))
        assert refused.code == "template_not_found"


async def test_owners_see_their_own_and_shared_templates(clean: Servers) -> None:
    operator_key = new_api_key("test")
    async with running_ingest(clean, operator_key=operator_key, announced=False) as harness:
        operator = {"Authorization": f"Bearer {operator_key}"}
        scopes = ["batches:read", "batches:write", "schedules:write"]
        owners = {}
        for owner in ("ann", "bob"):
            body = {"name": owner, "owner": owner, "scopes": scopes}
            made = (await harness.post("/keys", json=body, headers=operator))[1]
            owners[owner] = {"Authorization": f"Bearer {made['key']}"}
        ann, bob = owners["ann"], owners["bob"]
        await harness.post("/templates", json=FORM, headers=ann)
        assert (await harness.get("/templates/numbers", headers=bob))[0] == 404
        shared = FORM | {"shared": True, "description": "for all"}
        assert (await harness.post("/templates", json=shared, headers=ann))[0] == 403
        assert (await harness.post("/templates", json=shared, headers=operator))[0] == 201
        seen = [(await harness.get("/templates/numbers", headers=one))[1]["description"] for one in (ann, bob)]
        assert seen == ["squares of numbers", "for all"], "an owner's own template goes before a shared one"
        listed = (await harness.get("/templates", headers=ann))[1]["templates"]
        assert [one["name"] for one in listed] == ["event-tracklists", "numbers", "weekly-portfolio"]
        assert [one["shared"] for one in listed] == [True, False, True]
        assert (await delete(harness, "/templates/numbers", headers=bob))[0] == 403
        assert (await harness.post("/templates/numbers/restore", json={"version": 1}, headers=bob))[0] == 403
        assert (await delete(harness, "/templates/numbers", headers=ann))[0] == 204
        assert (await harness.get("/templates/numbers", headers=ann))[1]["description"] == "for all"
        names = [one["name"] for one in (await harness.get("/templates", headers=bob))[1]["templates"]]
        assert names == ["event-tracklists", "numbers", "weekly-portfolio"]


async def test_a_template_that_a_schedule_uses_is_not_deleted(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await harness.post("/templates", json=FORM)
        body = {"cron": "0 6 * * MON", "template": "numbers", "parameters": PARAMETERS}
        async with harness.http.put(f"{harness.url}/schedules/weekly", json=body) as response:
            assert response.status == 200
        status, problem = await delete(harness, "/templates/numbers")
        assert (status, problem["code"]) == (409, "template_in_use")
        assert (await delete(harness, "/schedules/weekly"))[0] == 204
        assert (await delete(harness, "/templates/numbers"))[0] == 204
        assert (await delete(harness, "/templates/numbers"))[0] == 404
        names = [one["name"] for one in (await harness.get("/templates"))[1]["templates"]]
        assert names == BUILT_IN
