"""The audit names who changed what, at every door, in the transaction of the change, without payloads and secrets."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from batchyard_contracts.v1.commands import BatchControl, BatchSubmit, CommandAccepted
from batchyard_contracts.v1.flow import BatchControlled
from batchyard_contracts.v1.queries import RatesQuery, RatesReply, RateState
from devstack import Servers
from services.ingest.domain.scope import OWNER_SCOPES
from services.ingest.persistence.audit_log import AuditLog
from services.ingest.settings import IngestSettings
from shared.postgres.pool import open_pool
from tests.integration.test_ingest_rights import OPERATOR_KEY, bearer, ingest, key_of
from tests.support.patience import until
from tests.support.running_ingest import SQUARES, IngestHarness

SECRET = "a-payload-that-nobody-else-may-see"
OPERATOR = bearer(OPERATOR_KEY)


async def entries(harness: IngestHarness, headers: dict[str, str] = OPERATOR, **query: Any) -> list[dict[str, Any]]:
    """The entries, the oldest first."""
    status, page = await harness.get("/audit", params=query, headers=headers)
    assert status == 200, page
    return list(reversed(page["entries"]))


async def test_every_command_by_http_is_named_with_its_key_and_address(clean: Servers) -> None:
    async with ingest(clean) as harness:
        ann = await key_of(harness, "ann", *OWNER_SCOPES)
        key_id = (await harness.get("/session", headers=ann))[1]["key_id"]
        body = {"workload": "squares", "items": [{"payload": {"n": 1, "note": SECRET}}], "sealed": False}
        batch_id = (await harness.post("/batches", json=body, headers=ann))[1]["batch_id"]
        path = f"/batches/{batch_id}"
        append = {"sequence": 0, "items": [{"payload": {"n": 2, "note": SECRET}}]}
        assert (await harness.post(f"{path}/items", json=append, headers=ann))[0] == 202
        async with harness.http.patch(harness.url + path, json={"priority": "low"}, headers=ann) as response:
            assert response.status == 202
        for action in ("seal", "pause", "resume", "cancel"):
            assert (await harness.post(f"{path}/{action}", headers=ann))[0] == 202
        lines = [{"n": 3, "note": SECRET}, {"n": 4}]
        upload = "".join(json.dumps({"payload": line}) + "\n" for line in lines).encode()
        headers = {**ann, "Content-Type": "application/x-ndjson"}
        status, uploaded = await harness.post("/batches", params={"workload": "squares"}, data=upload, headers=headers)
        assert status == 202
        found = await entries(harness, ann, object=batch_id)
        assert [each["action"] for each in found] == [
            "batch.submit", "batch.append", "batch.change", "batch.seal", "batch.pause", "batch.resume", "batch.cancel",
        ]  # fmt: skip
        for each in found:
            assert (each["owner"], each["actor"], each["door"], each["address"]) == ("ann", "ann", "http", "127.0.0.1")
            assert each["key_id"] == key_id
        change = found[2]
        assert (change["before"]["priority"], change["after"]) == ("normal", {"priority": "low"})
        (entry,) = await entries(harness, ann, object=uploaded["batch_id"])
        assert (entry["action"], entry["after"]["items"]) == ("batch.submit", 2)
        assert SECRET not in str(await harness.rows("SELECT audit::text FROM audit"))


async def test_a_command_by_amqp_is_named_with_its_owner(clean: Servers) -> None:
    async with ingest(clean) as harness:
        submit = BatchSubmit.model_validate({"workload": "squares", "items": [{"payload": {"n": 1}}]})
        accepted = await harness.command(submit)
        assert isinstance(accepted, CommandAccepted)
        await harness.command(BatchControl(batch_id=accepted.batch_id, action="pause"))
        found = await entries(harness, object=str(accepted.batch_id))
        assert [(each["action"], each["actor"], each["door"]) for each in found] == [
            ("batch.submit", "default", "amqp"), ("batch.pause", "default", "amqp"),
        ]  # fmt: skip


async def test_a_refused_or_repeated_command_leaves_no_entry(clean: Servers) -> None:
    async with ingest(clean) as harness:
        ann = {**await key_of(harness, "ann", *OWNER_SCOPES), "Idempotency-Key": "once"}
        body = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
        first = (await harness.post("/batches", json=body, headers=ann))[1]
        again = (await harness.post("/batches", json=body, headers=ann))[1]
        assert (again["batch_id"], again["replayed"]) == (first["batch_id"], True)
        assert (await harness.post("/batches", json={**body, "workload": "absent"}, headers=ann))[0] == 422
        assert len(await entries(harness, action="batch.submit")) == 1
        path = f"/batches/{first['batch_id']}/retry"
        assert (await harness.post(path, headers=ann))[0] in {409, 504}
        assert await entries(harness, action="batch.retry") == []


async def test_operators_are_named_when_they_act_for_others_or_read_their_payloads(clean: Servers) -> None:
    async with ingest(clean) as harness:
        ann = await key_of(harness, "ann", *OWNER_SCOPES)
        body = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
        batch_id = (await harness.post("/batches", json=body, headers=ann))[1]["batch_id"]
        path, other = f"/batches/{batch_id}", {"owner": "ann"}
        assert (await harness.get(f"{path}/results", params=other, headers=OPERATOR))[0] == 200
        assert (await harness.post(f"{path}/cancel", params=other, headers=OPERATOR))[0] == 202
        for wrong in ({}, {"reason": " "}, {"reason": "x" * 501}, {"reason": "two\nlines"}):
            assert (await harness.post(f"{path}/finish", params=other, headers=OPERATOR, json=wrong))[0] == 422
        reason = {"reason": "its items are lost"}
        assert (await harness.post(f"{path}/finish", params=other, headers=OPERATOR, json=reason))[0] == 202
        await harness.wait_until(lambda: any(one.forced for one in harness.all(BatchControlled)))
        (forced,) = [one for one in harness.all(BatchControlled) if one.forced]
        assert (forced.action, forced.owner, str(forced.batch_id)) == ("cancel", "ann", batch_id)
        (ended,) = await entries(harness, ann, action="batch.finish")
        assert (ended["actor"], ended["after"]["reason"]) == ("operator", "its items are lost")
        found = [each for each in await entries(harness, ann, object=batch_id) if each["actor"] == "operator"]
        assert [(each["action"], each["owner"]) for each in found] == [
            ("payloads.read", "ann"),
            ("batch.cancel", "ann"),
            ("batch.finish", "ann"),
        ]
        assert (await harness.post("/workloads/squares/invalidate-cache", json={}, headers=OPERATOR))[0] == 202
        recent = [each["action"] for each in await entries(harness)]
        assert recent[-1] == "cache.invalidate"
        assert {"key.create", "payloads.read"} <= set(recent)


async def test_the_state_of_a_rate_before_its_change_is_named(clean: Servers) -> None:
    state = RateState(workload="squares", limit="default", partition="a.example", per_second=20, reason="learned")
    async with ingest(clean) as harness:
        harness.answers[RatesQuery] = lambda _: RatesReply(rates=[state])
        body = {"partition": "a.example", "rate": {"per_second": 5}, "limit": SQUARES.all_limits()[0].name}

        async def change() -> None:
            url = f"{harness.url}/rates/squares"
            async with harness.http.put(url, json=body, headers=OPERATOR):
                pass  # no dispatcher answers it here

        changing = asyncio.create_task(change())
        try:
            (entry,) = await until(lambda: entries(harness, action="rates.set"))
        finally:
            changing.cancel()
            await asyncio.wait({changing})
        known = {"partition": "a.example", "per_second": 20, "burst": 1, "set_by_operator": False, "circuit": "closed"}
        assert entry["before"] == {"rates": [known]}
        assert entry["after"]["rate"]["per_second"] == 5


async def test_an_owner_sees_its_own_entries_alone_and_finds_them_by_their_parts(clean: Servers) -> None:
    async with ingest(clean) as harness:
        ann, bob = [await key_of(harness, owner, *OWNER_SCOPES) for owner in ("ann", "bob")]
        for headers in (ann, bob, bob):
            body = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
            assert (await harness.post("/batches", json=body, headers=headers))[0] == 202
        assert {each["owner"] for each in await entries(harness, ann, owner="bob")} == {"ann"}
        assert {each["owner"] for each in await entries(harness, owner="bob")} == {"bob"}
        assert len(await entries(harness, owner="bob", action="batch.submit")) == 2
        key_id = (await harness.get("/session", headers=bob))[1]["key_id"]
        assert [each["object"] for each in await entries(harness, object=key_id)] == [key_id]
        assert len(await entries(harness, key_id=key_id)) == 2
        assert await entries(harness, until="2020-01-01T00:00:00Z") == []
        for wrong in ("0.5", "1700000000", "2026-12-24"):
            assert (await harness.get("/audit", params={"until": wrong}, headers=OPERATOR))[0] == 422, wrong
        whole = await entries(harness)
        paged, before = [], None
        while True:
            more: dict[str, int] = {} if before is None else {"before": before}
            status, page = await harness.get("/audit", params={"limit": 2, **more}, headers=OPERATOR)
            assert status == 200
            paged += page["entries"]
            if (before := page.get("next_before")) is None:
                break
        assert list(reversed(paged)) == whole
        async with harness.http.get(f"{harness.url}/audit", params={"format": "ndjson"}, headers=OPERATOR) as response:
            lines = [json.loads(line) for line in (await response.read()).splitlines()]
        assert [line["id"] for line in reversed(lines)] == [each["id"] for each in whole]


async def test_an_owner_does_not_see_what_concerns_all_owners(clean: Servers) -> None:
    async with ingest(clean) as harness:
        headers = await key_of(harness, "al", *OWNER_SCOPES)
        async with harness.http.patch(f"{harness.url}/retention", json={"outcomes": 90}, headers=OPERATOR) as response:
            assert response.status == 200
        assert {each["action"] for each in await entries(harness, headers)} == {"key.create"}
        (entry,) = await entries(harness, owner="*")
        assert (entry["action"], entry["object"]) == ("retention.set", "*")


async def test_entries_are_never_changed_and_the_oldest_ones_go(clean: Servers) -> None:
    async with ingest(clean) as harness:
        await key_of(harness, "ann", "batches:read")
        with pytest.raises(asyncpg.RaiseError, match="never changed"):
            await harness.rows("UPDATE audit SET actor = 'nobody'")
        pool = await open_pool(IngestSettings(database_url=clean.database_url), "ingest", "services.ingest.persistence")
        log = AuditLog(pool)
        for number in range(5):
            await log.record("test", "ann", str(number), {"text": "x" * 5000})
        await log.delete_old(timedelta(days=1), 3)
        assert [each["object"] for each in await entries(harness)] == ["2", "3", "4"]
        assert {str(each["after"]) for each in await entries(harness)} == {"{'left_out': 'too large'}"}
        await log.delete_old(timedelta(0), 1000)
        assert await entries(harness) == []
        await pool.close()
