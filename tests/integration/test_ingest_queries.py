"""Templates and schedules by AMQP: lists, versions, comparison, restore and delete, each for their owner alone."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from batchyard_contracts.client import Client
from batchyard_contracts.client.errors import BatchRefused, QueryRefused
from batchyard_contracts.v1.queries import TemplatesQuery, TemplatesReply
from batchyard_contracts.v1.schedules import ScheduleSave
from batchyard_contracts.v1.templates import TemplateSave, TemplateSubmit
from devstack import Servers
from services.ingest.api import queries
from tests.support.running_ingest import running_ingest
from tests.support.schedules import BATCH, make_due, runs_of


def template(name: str, n: int = 1, **fields: Any) -> TemplateSave:
    body = {"workload": "squares", "items": [{"payload": {"n": n}}]}
    return TemplateSave.model_validate({"name": name, "description": f"of {n}", "body": body} | fields)


async def names(client: Client, prefix: str = "") -> list[str]:
    return [one.name async for one in client.templates.list(prefix)]


async def test_templates_are_listed_compared_restored_and_deleted(clean: Servers) -> None:
    async with running_ingest(clean), Client.connect(clean.amqp_url) as client:
        for n in (1, 2):
            await client.templates.save(template("mine", n))
        await client.templates.save(template("other"))
        assert {"mine", "other", "weekly-portfolio"} <= set(await names(client))
        assert await names(client, "mi") == ["mine"]
        found = [(one.version, one.description, one.shared) async for one in client.templates.versions("mine")]
        assert found == [(2, "of 2", False), (1, "of 1", False)]
        reply = await client.templates.get("mine", compare_with=1)
        assert reply.form is not None
        assert reply.form.body["workload"] == "squares"
        assert {(one.pointer, one.before, one.after) for one in reply.changes or []} == {
            ("/body/items/0/payload/n", 1, 2),
            ("/description", "of 1", "of 2"),
        }
        assert (await client.templates.restore("mine", 1)).version == 3
        latest = (await client.templates.get("mine")).template
        assert latest is not None
        assert latest.description == "of 1"
        accepted = await client.templates.submit(TemplateSubmit(template="mine"))
        assert accepted.items == 1
        await client.templates.delete("mine")
        assert await names(client, "mine") == []
        assert not (await client.templates.get("mine")).found
        assert [one async for one in client.templates.versions("mine")] == []
        for refused in (client.templates.restore("mine", 1), client.templates.delete("weekly-portfolio")):
            with pytest.raises(BatchRefused) as raised:
                await refused
            assert raised.value.code in {"template_not_found", "forbidden"}


async def test_lists_of_templates_and_schedules_go_on_page_by_page(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_ingest(clean) as harness, Client.connect(clean.amqp_url) as client:
        for n in range(5):
            await client.templates.save(template(f"page-{n}"))
            await client.templates.save(template("versions", n))
        query = TemplatesQuery(owner="default", prefix="page-", limit=2)
        seen: list[str] = []
        while True:
            reply = await client.query(query, TemplatesReply)
            seen += [one.name for one in reply.templates]
            if reply.next_after is None:
                break
            query = query.model_copy(update={"after": reply.next_after})
        assert seen == [f"page-{n}" for n in range(5)]
        query = TemplatesQuery(owner="default", name="versions", below=4, limit=2)
        reply = await client.query(query, TemplatesReply)
        assert ([one.version for one in reply.templates], reply.next_below) == ([3, 2], 2)
        now = datetime.now(UTC)
        for n in range(3):
            cron = f"{now.minute} {now.hour} * * *"
            await client.schedules.save(ScheduleSave(name=f"s{n}", cron=cron, batch=BATCH, overlap="allow"))
        monkeypatch.setattr(queries, "MAX_REPLY_BYTES", 10)
        assert [one.name async for one in client.schedules.list()] == ["s0", "s1", "s2"]
        assert [one.name async for one in client.schedules.list("s1")] == ["s1"]
        one = await client.schedules.get("s2")
        assert one is not None
        assert (one.form.overlap, one.workload, one.unread) == ("allow", "squares", [])
        assert await client.schedules.get("absent") is None
        await make_due(harness)
        await runs_of(harness, name="s2", states={"started"})
        (run,) = [run async for run in client.schedules.runs("s2")]
        assert (run.origin, run.batch_id is not None) == ("schedule", True)
        assert [run async for run in client.schedules.runs("absent")] == []
        await client.schedules.control("s2", "delete")
        assert [one.name async for one in client.schedules.list()] == ["s0", "s1"]


async def test_an_owner_sees_what_is_its_own_alone(clean: Servers) -> None:
    async with running_ingest(clean), Client.connect(clean.amqp_url) as client:
        await client.templates.save(template("mine"))
        with pytest.raises(QueryRefused) as raised:
            await client.query(TemplatesQuery(owner="bob"), TemplatesReply)
        assert "own data" in str(raised.value)
        own = await asyncio.gather(*(client.query(TemplatesQuery(owner="default"), TemplatesReply) for _ in range(20)))
        assert all(any(one.name == "mine" for one in reply.templates) for reply in own)
