"""Commands that steer a batch: passed on for its owner alone, each once, and in order."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.commands import BatchControl, CommandAccepted, CommandRejected
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import BatchControlled, BatchSealed
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, BatchState
from batchyard_contracts.v1.values import BatchStatus, Counts, Rate, Terms
from devstack import Servers
from tests.support.running_ingest import Around, at_work


async def batch(found: Around, *, sealed: bool = True) -> UUID:
    items = [{"payload": {"n": 1}}]
    _, accepted = await found.post("/batches", json={"workload": "squares", "sealed": sealed, "items": items})
    return UUID(accepted["batch_id"])


def ledger_says(found: Around, status: BatchStatus) -> None:
    def answer(query: BatchesQuery) -> BatchesReply:
        states = [
            BatchState.model_validate(
                {
                    "batch_id": batch_id,
                    "owner": query.owner,
                    "workload": "squares",
                    "priority": "normal",
                    "status": status,
                    "round": 1,
                    "counts": Counts(total=1, failed=1),
                    "accepted_at": "2026-01-01T00:00:00Z",
                }
            )
            for batch_id in query.batch_ids or []
        ]
        return BatchesReply(batches=states)

    found.answers[BatchesQuery] = answer


async def test_by_http(clean: Servers) -> None:
    async with at_work(clean) as found:
        batch_id = await batch(found)
        for action in ("pause", "resume", "cancel", "retry"):
            ledger_says(found, "finished" if action == "retry" else "running")
            status, accepted = await found.post(f"/batches/{batch_id}/{action}")
            assert (status, accepted["batch_id"], accepted["items"]) == (202, str(batch_id), 1)
        async with found.http.patch(f"{found.url}/batches/{batch_id}", json={"priority": "immediate"}) as response:
            assert response.status == 202
        told = await found.heard(BatchControlled, 5)
        assert [(t.action, t.owner, t.priority) for t in told] == [
            ("pause", "default", None),
            ("resume", "default", None),
            ("cancel", "default", None),
            ("retry", "default", None),
            ("change", "default", "immediate"),
        ]
        assert {t.batch_id for t in told} == {batch_id}
        assert [row["priority"] for row in await found.rows("SELECT priority FROM batches")] == ["immediate"]
        status, problem = await found.post(f"/batches/{batch_id}/explode")
        assert (status, problem["code"]) == (422, "invalid_request")


async def test_by_amqp_a_command_that_comes_twice_acts_once(clean: Servers) -> None:
    async with at_work(clean) as found:
        batch_id = await batch(found)
        command = BatchControl(batch_id=batch_id, action="pause")
        replies = [await found.command(command, message_id="m1") for _ in range(2)]
        assert [r.replayed for r in replies if isinstance(r, CommandAccepted)] == [False, True]
        other = await found.command(BatchControl(batch_id=batch_id, action="resume"), message_id="m1")
        assert isinstance(other, CommandRejected)
        assert other.code == "idempotency_conflict"
        resumed = await found.command(BatchControl(batch_id=batch_id, action="resume"), message_id="m2")
        assert isinstance(resumed, CommandAccepted)
        await found.heard(BatchControlled, 2)
        assert [told.action for told in found.all(BatchControlled)] == ["pause", "resume"]


async def test_only_a_finished_batch_is_retried(clean: Servers) -> None:
    async with at_work(clean) as found:
        batch_id = await batch(found)
        for status in ("running", "paused"):
            ledger_says(found, status)
            answer = await found.post(f"/batches/{batch_id}/retry")
            assert (answer[0], answer[1]["code"]) == (409, "not_finished")
        found.answers[BatchesQuery] = lambda _: BatchesReply(batches=[])
        assert (await found.post(f"/batches/{batch_id}/retry"))[0] == 409
        ledger_says(found, "finished")
        key = {"Idempotency-Key": "again"}
        assert (await found.post(f"/batches/{batch_id}/retry", headers=key))[1]["replayed"] is False
        ledger_says(found, "running")
        assert (await found.post(f"/batches/{batch_id}/retry", headers=key))[1]["replayed"] is True
        (told,) = await found.heard(BatchControlled)
        assert told.action == "retry"


async def test_who_steers_a_finished_batch_is_told(clean: Servers) -> None:
    async with at_work(clean) as found:
        ledger_says(found, "finished")
        batch_id = await batch(found)
        now = datetime.now(UTC)
        ended = BatchFinished(
            workload="squares", owner="default", batch_id=batch_id, round=1, result="failed",
            counts=Counts(total=1, failed=1), accepted_at=now, finished_at=now,
        )  # fmt: skip
        await found.publish(EVENTS, ended)
        async with asyncio.timeout(10):
            while not await found.rows("SELECT FROM batches WHERE done"):  # noqa: ASYNC110  a table tells nobody
                await asyncio.sleep(0.05)
        for action in ("pause", "resume", "cancel"):
            status, problem = await found.post(f"/batches/{batch_id}/{action}")
            assert (status, problem["code"]) == (409, "batch_finished")
        async with found.http.patch(f"{found.url}/batches/{batch_id}", json={"weight": 3}) as response:
            assert (response.status, (await response.json())["finished"]) == (202, True)
        await found.post(f"/batches/{batch_id}/retry")
        assert (await found.post(f"/batches/{batch_id}/cancel"))[0] == 202  # though no event has told of the new round
        told = await found.heard(BatchControlled, 3)
        assert [t.action for t in told] == ["change", "retry", "cancel"]


async def test_the_cancel_of_an_open_batch_seals_it(clean: Servers) -> None:
    async with at_work(clean) as found:
        batch_id = await batch(found, sealed=False)
        await found.post(f"/batches/{batch_id}/cancel")
        await found.heard(BatchControlled)
        assert found.flow[-2] == BatchSealed(batch_id=batch_id, total=1)
        late = {"sequence": 0, "items": [{"payload": {"n": 2}}]}
        assert (await found.post(f"/batches/{batch_id}/items", json=late))[0] == 409


async def test_nobody_elses_batch_is_steered(clean: Servers) -> None:
    tokens = {"ann": "a-token-for-the-tests", "bob": "b-token-for-the-tests"}
    async with at_work(clean, api_tokens=tokens) as found:
        ann, bob = ({"Authorization": f"Bearer {token}"} for token in tokens.values())
        await found.announce(headers=ann)
        body = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
        _, accepted = await found.post("/batches", json=body, headers=ann)
        path = f"/batches/{accepted['batch_id']}"
        for action in ("pause", "resume", "cancel", "retry"):
            assert (await found.post(f"{path}/{action}", headers=bob))[0] == 404
        async with found.http.patch(found.url + path, json={"priority": "low"}, headers=bob) as response:
            assert response.status == 404
        for part in ("", "/results", "/failures"):
            assert (await found.get(path + part, headers=bob))[0] == 404
        command = BatchControl(batch_id=UUID(accepted["batch_id"]), action="cancel")
        refused = await found.command(command)
        assert isinstance(refused, CommandRejected)
        assert refused.status == 404
        unknown = await found.command(BatchControl(batch_id=uuid4(), action="cancel"))
        assert isinstance(unknown, CommandRejected)
        assert unknown.code == "batch_not_found"
        assert found.all(BatchControlled) == []


async def test_terms_are_changed_and_taken_back(clean: Servers) -> None:
    async with at_work(clean) as found:
        batch_id = await batch(found)
        body = {"rate": {"per_second": 20, "burst": 2}, "weight": 3, "clear": ["deadline"]}
        async with found.http.patch(f"{found.url}/batches/{batch_id}", json=body) as response:
            assert response.status == 202
        refused = {"deadline": "2020-01-01T00:00:00Z"}
        async with found.http.patch(f"{found.url}/batches/{batch_id}", json=refused) as response:
            assert (response.status, (await response.json())["code"]) == (422, "deadline_passed")
        changed = await found.command(BatchControl(batch_id=batch_id, action="change", concurrency=5))
        assert isinstance(changed, CommandAccepted)
        told = await found.heard(BatchControlled, 2)
        assert (told[0].terms, told[0].clear) == (Terms(rate=Rate(per_second=20, burst=2), weight=3), ["deadline"])
        assert told[1].terms == Terms(concurrency=5)


async def test_a_change_needs_something_to_change(clean: Servers) -> None:
    async with at_work(clean) as found:
        refused = await found.command(BatchControl(batch_id=await batch(found), action="change"))
        assert isinstance(refused, CommandRejected)
        assert (refused.code, refused.status) == ("nothing_to_change", 422)
