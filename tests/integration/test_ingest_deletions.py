"""A batch that has ended is deleted by a command or when its time has passed, and it is told what was deleted where."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.topology import FLOW
from batchyard_contracts.v1.commands import BatchSubmit, CommandRejected
from batchyard_contracts.v1.flow import DeletionCompleted, DeletionRequested
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, BatchState
from batchyard_contracts.v1.values import Counts, NewItem
from devstack import Servers
from services.ingest.retention.retention_sweeper import RetentionSweeper
from tests.support.patience import until
from tests.support.running_ingest import IngestHarness, running_ingest

BODY: dict[str, Any] = {
    "workload": "squares",
    "items": [{"payload": {"n": 1, "note": "secret payload"}}],
    "name": "secret name",
    "labels": {"k": "secret label"},
    "metadata": {"k": "secret too"},
    "notify": {"webhooks": []},
}
SERVICES = {"dispatcher": {"pages": 2}, "aggregator": {"outcomes": 1}, "notifier": {}}


async def submit(harness: IngestHarness, **fields: Any) -> str:
    status, accepted = await harness.post("/batches", json=BODY | fields)
    assert status == 202, accepted
    return str(accepted["batch_id"])


async def end(harness: IngestHarness, batch: str, days: float = 0) -> None:
    """Record that a batch has ended, some days ago."""
    await harness.rows(
        "UPDATE batches SET done = true, heard_at = now() - $2::float8 * interval '1 day' WHERE batch_id = $1",
        UUID(batch), days,
    )  # fmt: skip


async def delete(harness: IngestHarness, batch: str) -> tuple[int, Any]:
    async with harness.http.delete(f"{harness.url}/batches/{batch}") as response:
        return response.status, await response.json()


async def complete(harness: IngestHarness, batch: str, *services: str) -> None:
    """Report that services have deleted their part."""
    for service in services:
        deleted = SERVICES[service]
        message = DeletionCompleted(
            batch_id=UUID(batch), kind="batch", service=service, deleted=deleted, at=datetime.now(UTC)
        )  # fmt: skip
        await harness.publish(FLOW, message)


async def deletion(harness: IngestHarness, batch: str) -> Any:
    status, found = await harness.get(f"/batches/{batch}/deletion")
    assert status == 200
    return found


async def test_a_deleted_batch_is_gone_and_the_services_are_asked_for_their_part(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch, other = await submit(harness), await submit(harness)
        assert (await harness.post(f"/batches/{batch}/pause"))[0] == 202
        await end(harness, batch)
        status, found = await delete(harness, batch)
        assert (status, found["batch_id"], found["cause"]) == (202, batch, "command")
        assert found["deleted"] == {"ingest": {"batches": 1, "appends": 0, "controls": 0, "follow_ups": 0}}
        (requested,) = await harness.wait_for(DeletionRequested)
        assert (str(requested.batch_id), requested.owner, requested.round, requested.kind) == (
            batch,
            "default",
            1,
            "batch",
        )
        for path in (f"/batches/{batch}", f"/batches/{batch}/results", f"/batches/{batch}/reasons"):
            assert (await harness.get(path))[0] == 404
        for action in ("pause", "cancel", "retry"):
            assert (await harness.post(f"/batches/{batch}/{action}"))[0] == 404
        tables = await harness.rows(
            "SELECT row_to_json(batches)::text AS text FROM batches WHERE batch_id = $1", UUID(batch)
        )
        assert "secret" not in tables[0]["text"]
        assert (await harness.rows("SELECT name FROM batches WHERE batch_id = $1", UUID(other))) == [
            {"name": "secret name"}
        ]
        (entry,) = await harness.rows("SELECT actor, object FROM audit WHERE action = 'batch.delete'")
        assert entry == {"actor": "default", "object": batch}


async def test_a_deletion_is_complete_once_every_service_has_reported_it(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch = await submit(harness)
        await end(harness, batch)
        assert (await delete(harness, batch))[0] == 202
        await complete(harness, batch, "dispatcher", "aggregator")
        found = await until(lambda: deletion(harness, batch), lambda one: len(one["deleted"]) == 3)
        assert found.get("completed_at") is None
        await complete(harness, batch, "notifier")
        found = await until(lambda: deletion(harness, batch), lambda one: "completed_at" in one)
        assert {name: found["deleted"][name] for name in SERVICES} == SERVICES
        nothing = DeletionCompleted(batch_id=UUID(batch), kind="batch", service="dispatcher", at=datetime.now(UTC))
        await harness.publish(FLOW, nothing)  # it was asked twice, and found nothing the second time
        await complete(harness, await submit(harness), "notifier")  # of a batch that is not deleted
        await harness.until_no_row("SELECT FROM deletions WHERE deleted -> 'dispatcher' = '{}'")
        status, again = await delete(harness, batch)
        assert (status, again["completed_at"], again["deleted"]) == (202, found["completed_at"], found["deleted"])


async def test_a_batch_that_has_not_ended_is_not_deleted(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch = await submit(harness)
        harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[state(batch, "running")])
        status, problem = await delete(harness, batch)
        assert (status, problem["code"]) == (409, "not_finished")
        harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[state(batch, "finished", round=1)])
        await harness.rows("UPDATE batches SET round = 2 WHERE batch_id = $1", UUID(batch))
        assert (await delete(harness, batch))[0] == 409, "a retry is about to begin"
        assert harness.all(DeletionRequested) == []
        status, problem = await harness.get(f"/batches/{batch}/deletion")
        assert (status, problem["code"]) == (404, "deletion_not_found")
        await harness.rows("UPDATE batches SET round = 1 WHERE batch_id = $1", UUID(batch))
        assert (await delete(harness, batch))[0] == 202, "its end is known, though its event has not come"


def state(batch: str, status: Any, **fields: Any) -> BatchState:
    given: dict[str, Any] = {
        "batch_id": batch, "owner": "default", "workload": "squares", "priority": "normal", "status": status,
        "round": 1, "counts": Counts(total=1), "accepted_at": datetime.now(UTC),
    }  # fmt: skip
    return BatchState.model_validate(given | fields)


async def test_an_unknown_batch_and_one_of_somebody_else_are_not_deleted(clean: Servers) -> None:
    tokens = {"ann": "a-token-for-the-tests", "bob": "b-token-for-the-tests"}
    async with running_ingest(clean, api_tokens=tokens) as harness:
        headers = {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}
        await harness.announce(headers=headers["ann"])
        _, accepted = await harness.post("/batches", json=BODY, headers=headers["ann"])
        batch = accepted["batch_id"]
        await end(harness, batch)
        for path in (batch, str(UUID(int=7))):
            for method in ("DELETE", "GET"):
                url = f"{harness.url}/batches/{path}" + ("/deletion" if method == "GET" else "")
                async with harness.http.request(method, url, headers=headers["bob"]) as response:
                    assert response.status == 404
        assert harness.all(DeletionRequested) == []
        async with harness.http.delete(f"{harness.url}/batches/x", headers=headers["ann"]) as response:
            assert response.status == 422


async def test_a_batch_with_a_follow_up_that_is_due_waits_for_it(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch = await submit(harness)
        await end(harness, batch)
        await harness.rows(
            "INSERT INTO follow_ups (batch_id, place, owner, form, due_at) VALUES ($1, 0, 'default', '{}', 'infinity')",
            UUID(batch),
        )
        status, problem = await delete(harness, batch)
        assert (status, problem["code"]) == (409, "follow_up_waits")
        await harness.rows("UPDATE follow_ups SET state = 'started', due_at = NULL")
        assert (await delete(harness, batch))[0] == 202


async def test_the_id_of_a_deleted_batch_and_its_message_start_no_other_batch(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        command = BatchSubmit(workload="squares", items=[NewItem(payload={"n": 1})], idempotency_key="nightly")
        accepted = await harness.command(command, message_id="m1")
        assert not isinstance(accepted, CommandRejected)
        await end(harness, str(accepted.batch_id))
        assert (await delete(harness, str(accepted.batch_id)))[0] == 202
        for again, message in ((command, "m1"), (command.model_copy(update={"batch_id": accepted.batch_id}), "m2")):
            reply = await harness.command(again, message_id=message)
            assert isinstance(reply, CommandRejected)
            assert reply.code == "idempotency_conflict"
        fresh = await harness.command(command, message_id="m3")
        assert not isinstance(fresh, CommandRejected), "the idempotency key went with the batch"
        assert fresh.batch_id != accepted.batch_id


async def test_a_deletion_that_a_service_does_not_report_is_requested_again(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RetentionSweeper, "INTERVAL_S", 0.1)
    async with running_ingest(clean) as harness:
        batch = await submit(harness)
        await end(harness, batch)
        assert (await delete(harness, batch))[0] == 202
        await harness.rows("UPDATE deletions SET sent_at = now() - interval '11 minutes'")
        first, second = await harness.wait_for(DeletionRequested, 2)
        assert (first.batch_id, first.kind) == (second.batch_id, second.kind)


async def test_retention_deletes_each_kind_after_its_days_by_the_rule_that_fits_best(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RetentionSweeper, "INTERVAL_S", 0.1)
    monkeypatch.setattr("services.ingest.retention.retention_sweeper._MOST_BATCHES", 2)
    async with running_ingest(clean, retention={"payloads": 7, "deliveries": None}) as harness:
        running, old, older, kept = [await submit(harness) for _ in range(4)]
        for batch, days in ((old, 8), (older, 40), (kept, 40)):
            await end(harness, batch, days)
        await harness.rows(
            "UPDATE batches SET heard_at = now() - interval '99 days' WHERE batch_id = $1", UUID(running)
        )
        await harness.rows("UPDATE batches SET owner = 'ann' WHERE batch_id = $1", UUID(kept))
        await harness.wait_until(lambda: kinds(harness, "payloads") == {old, older, kept})
        assert kinds(harness, "outcomes", "deliveries", "batch") == set()
        for document in ({"outcomes": 30}, {"owner": "ann", "outcomes": 50}, {"workload": "squares", "batch": 39}):
            await change(harness, document)
        await harness.wait_until(lambda: kinds(harness, "outcomes") == {older})
        await harness.wait_until(lambda: kinds(harness, "batch") == {older, kept})
        assert (await deletion(harness, older))["cause"] == "retention"
        assert (await harness.get(f"/batches/{older}"))[0] == 404
        assert kinds(harness, "payloads", "outcomes", "batch").isdisjoint({running}), "nothing of a batch that runs"
        assert len(harness.all(DeletionRequested)) == 6, "each once"


def kinds(harness: IngestHarness, *names: str) -> set[str]:
    return {str(one.batch_id) for one in harness.all(DeletionRequested) if one.kind in names}


async def change(harness: IngestHarness, document: Any, status: int = 200) -> Any:
    async with harness.http.patch(f"{harness.url}/retention", json=document) as response:
        found = await response.json()
        assert response.status == status, found
        return found


async def test_rules_are_shown_changed_and_taken_back(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        _, shown = await harness.get("/retention")
        assert shown == {
            "effective": {"payloads": 7.0, "deliveries": 30.0},
            "defaults": {"payloads": 7.0, "deliveries": 30.0},
            "rules": [],
        }
        await change(harness, {"owner": "ann", "outcomes": 3, "batch": 9})
        shown = await change(harness, {"owner": "ann", "outcomes": None, "payloads": 0})
        assert shown["rules"] == [{"owner": "ann", "workload": "*", "days": {"batch": 9.0, "payloads": 0.0}}]
        assert shown["effective"] == {"payloads": 0.0, "deliveries": 30.0, "batch": 9.0}
        shown = await change(harness, {"owner": "ann", "batch": None, "payloads": None})
        assert shown["rules"] == []
        entries = await harness.rows(
            "SELECT owner, object, after FROM audit WHERE action = 'retention.set' ORDER BY id"
        )
        assert [entry["owner"] for entry in entries] == ["ann"] * 3


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"owner": "ann"},
        {"outcomes": -1},
        {"outcomes": 36_501},
        {"outcomes": "7"},
        {"outcomes": True},
        {"results": 7},
        {"owner": "a b", "outcomes": 7},
        {"owner": "*", "outcomes": 7},
        {"workload": "No", "outcomes": 7},
        [],
    ],
)
async def test_a_wrong_rule_is_refused(clean: Servers, document: Any) -> None:
    async with running_ingest(clean, announced=False) as harness:
        await change(harness, document, 422)
        assert await harness.rows("SELECT FROM retention_rules") == []


async def test_owners_see_the_rules_that_may_hold_for_them(clean: Servers) -> None:
    tokens = {"ann": "a-token-for-the-tests", "bob": "b-token-for-the-tests"}
    async with running_ingest(clean, api_tokens=tokens) as harness:
        await harness.rows(
            "INSERT INTO retention_rules VALUES ('ann', '*', '{\"batch\": 1}'), ('bob', '*', '{\"batch\": 2}'), "
            "('*', 'squares', '{\"batch\": 3}')"
        )
        ann = {"Authorization": f"Bearer {tokens['ann']}"}
        _, shown = await harness.get("/retention", params={"owner": "bob", "workload": "squares"}, headers=ann)
        assert {rule["owner"] for rule in shown["rules"]} == {"ann", "*"}
        assert shown["effective"]["batch"] == 1


async def test_two_processes_delete_a_batch_once(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch = await submit(harness)
        await end(harness, batch)
        answers = await asyncio.gather(*(delete(harness, batch) for _ in range(8)))
        assert {status for status, _ in answers} == {202}
        await harness.wait_for(DeletionRequested)
        assert len(await harness.rows("SELECT FROM audit WHERE action = 'batch.delete'")) == 1
