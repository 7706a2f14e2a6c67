"""Control commands are forwarded only for the owner of the batch, each once, and in order."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock
from uuid import UUID, uuid4

from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.commands import BatchControl, CommandAccepted, CommandRejected
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import BatchControlled, BatchSealed
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, BatchState, SelectionQuery, SelectionReply
from batchyard_contracts.v1.values import BatchStatus, Counts, Rate, Terms
from devstack import Servers
from services.ingest.control.control_handler import BatchControlHandler
from services.ingest.persistence.store import BatchStore
from services.ingest.settings import IngestSettings
from shared.postgres.pool import open_pool
from tests.support.running_ingest import IngestHarness, running_ingest


async def batch(harness: IngestHarness, *, sealed: bool = True) -> UUID:
    items = [{"payload": {"n": 1}}]
    _, accepted = await harness.post("/batches", json={"workload": "squares", "sealed": sealed, "items": items})
    return UUID(accepted["batch_id"])


def aggregator_replies(harness: IngestHarness, status: BatchStatus) -> None:
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

    harness.answers[BatchesQuery] = answer
    harness.answers[SelectionQuery] = lambda _: SelectionReply(round=1, count=1)


async def test_control_commands_over_http_are_forwarded_in_order(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        for action in ("pause", "resume", "cancel", "retry"):
            aggregator_replies(harness, "finished" if action == "retry" else "running")
            status, accepted = await harness.post(f"/batches/{batch_id}/{action}")
            assert (status, accepted["batch_id"], accepted["items"]) == (202, str(batch_id), 1)
        async with harness.http.patch(f"{harness.url}/batches/{batch_id}", json={"priority": "immediate"}) as response:
            assert response.status == 202
        forwarded = await harness.wait_for(BatchControlled, 5)
        assert [(t.action, t.owner, t.priority) for t in forwarded] == [
            ("pause", "default", None),
            ("resume", "default", None),
            ("cancel", "default", None),
            ("retry", "default", None),
            ("change", "default", "immediate"),
        ]
        assert {t.batch_id for t in forwarded} == {batch_id}
        assert [row["priority"] for row in await harness.rows("SELECT priority FROM batches")] == ["immediate"]
        status, problem = await harness.post(f"/batches/{batch_id}/explode")
        assert (status, problem["code"]) == (404, "not_found")


async def test_a_repeated_command_over_amqp_acts_once(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        command = BatchControl(batch_id=batch_id, action="pause")
        replies = [await harness.command(command, message_id="m1") for _ in range(2)]
        assert [r.replayed for r in replies if isinstance(r, CommandAccepted)] == [False, True]
        other = await harness.command(BatchControl(batch_id=batch_id, action="resume"), message_id="m1")
        assert isinstance(other, CommandRejected)
        assert other.code == "idempotency_conflict"
        resumed = await harness.command(BatchControl(batch_id=batch_id, action="resume"), message_id="m2")
        assert isinstance(resumed, CommandAccepted)
        await harness.wait_for(BatchControlled, 2)
        assert [forwarded.action for forwarded in harness.all(BatchControlled)] == ["pause", "resume"]


async def test_only_a_finished_batch_can_be_retried(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        for status in ("running", "paused"):
            aggregator_replies(harness, status)
            answer = await harness.post(f"/batches/{batch_id}/retry")
            assert (answer[0], answer[1]["code"]) == (409, "not_finished")
        harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[])
        assert (await harness.post(f"/batches/{batch_id}/retry"))[0] == 409
        aggregator_replies(harness, "finished")
        key = {"Idempotency-Key": "again"}
        assert (await harness.post(f"/batches/{batch_id}/retry", headers=key))[1]["replayed"] is False
        aggregator_replies(harness, "running")
        assert (await harness.post(f"/batches/{batch_id}/retry", headers=key))[1]["replayed"] is True
        (forwarded,) = await harness.wait_for(BatchControlled)
        assert forwarded.action == "retry"


async def test_control_of_a_finished_batch_is_rejected(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        aggregator_replies(harness, "finished")
        batch_id = await batch(harness)
        now = datetime.now(UTC)
        ended = BatchFinished(
            workload="squares", owner="default", batch_id=batch_id, round=1, result="failed",
            counts=Counts(total=1, failed=1), accepted_at=now, finished_at=now,
        )  # fmt: skip
        await harness.publish(EVENTS, ended)
        await harness.until_row("SELECT 1 FROM batches WHERE done")
        for action in ("pause", "resume", "cancel"):
            status, problem = await harness.post(f"/batches/{batch_id}/{action}")
            assert (status, problem["code"]) == (409, "batch_finished")
        async with harness.http.patch(f"{harness.url}/batches/{batch_id}", json={"weight": 3}) as response:
            assert (response.status, (await response.json())["finished"]) == (202, True)
        await harness.post(f"/batches/{batch_id}/retry")
        assert (await harness.post(f"/batches/{batch_id}/cancel"))[
            0
        ] == 202  # although no event of the new round has arrived
        forwarded = await harness.wait_for(BatchControlled, 3)
        assert [t.action for t in forwarded] == ["change", "retry", "cancel"]


async def test_the_cancel_of_an_open_batch_seals_it(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness, sealed=False)
        await harness.post(f"/batches/{batch_id}/cancel")
        await harness.wait_for(BatchControlled)
        assert harness.flow[-2] == BatchSealed(batch_id=batch_id, total=1)
        late = {"sequence": 0, "items": [{"payload": {"n": 2}}]}
        assert (await harness.post(f"/batches/{batch_id}/items", json=late))[0] == 409


async def test_control_of_the_batch_of_another_owner_is_rejected(clean: Servers) -> None:
    tokens = {"ann": "a-token-for-the-tests", "bob": "b-token-for-the-tests"}
    async with running_ingest(clean, api_tokens=tokens) as harness:
        ann, bob = ({"Authorization": f"Bearer {token}"} for token in tokens.values())
        await harness.announce(headers=ann)
        body = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
        _, accepted = await harness.post("/batches", json=body, headers=ann)
        path = f"/batches/{accepted['batch_id']}"
        for action in ("pause", "resume", "cancel", "retry"):
            assert (await harness.post(f"{path}/{action}", headers=bob))[0] == 404
        async with harness.http.patch(harness.url + path, json={"priority": "low"}, headers=bob) as response:
            assert response.status == 404
        for part in ("", "/results", "/failures"):
            assert (await harness.get(path + part, headers=bob))[0] == 404
        command = BatchControl(batch_id=UUID(accepted["batch_id"]), action="cancel")
        rejected = await harness.command(command)
        assert isinstance(rejected, CommandRejected)
        assert rejected.status == 404
        unknown = await harness.command(BatchControl(batch_id=uuid4(), action="cancel"))
        assert isinstance(unknown, CommandRejected)
        assert unknown.code == "batch_not_found"
        assert harness.all(BatchControlled) == []


async def test_terms_are_changed_and_cleared(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        body = {"rate": {"per_second": 20, "burst": 2}, "weight": 3, "clear": ["deadline"]}
        async with harness.http.patch(f"{harness.url}/batches/{batch_id}", json=body) as response:
            assert response.status == 202
        rejected = {"deadline": "2020-01-01T00:00:00Z"}
        async with harness.http.patch(f"{harness.url}/batches/{batch_id}", json=rejected) as response:
            assert (response.status, (await response.json())["code"]) == (422, "deadline_passed")
        changed = await harness.command(BatchControl(batch_id=batch_id, action="change", concurrency=5))
        assert isinstance(changed, CommandAccepted)
        changes = await harness.wait_for(BatchControlled, 2)
        assert (changes[0].terms, changes[0].clear) == (
            Terms(rate=Rate(per_second=20, burst=2), weight=3),
            ["deadline"],
        )
        assert changes[1].terms == Terms(concurrency=5)


async def test_a_start_time_is_changed_and_cleared(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        at = datetime(2130, 1, 1, tzinfo=UTC)
        rejected = await harness.command(BatchControl(batch_id=batch_id, action="change", not_before=at))
        assert isinstance(rejected, CommandRejected)
        assert rejected.code == "invalid_not_before"
        soon = datetime.now(UTC) + timedelta(hours=1)
        await harness.command(BatchControl(batch_id=batch_id, action="change", not_before=soon))
        await harness.command(BatchControl(batch_id=batch_id, action="change", clear=["not_before", "rate"]))
        changed, cleared = await harness.wait_for(BatchControlled, 2)
        assert (changed.terms, changed.clear) == (Terms(not_before=soon), [])
        assert cleared.terms == Terms(not_before=cleared.at), "older services know no other way"
        assert cleared.clear == ["rate"]


async def test_a_change_needs_something_to_change(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        rejected = await harness.command(BatchControl(batch_id=await batch(harness), action="change"))
        assert isinstance(rejected, CommandRejected)
        assert (rejected.code, rejected.status) == ("nothing_to_change", 422)


async def test_the_database_orders_commands_whatever_the_clocks_say(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        pool = await open_pool(IngestSettings(database_url=clean.database_url), "ingest", "services.ingest.persistence")
        await pool.execute("UPDATE batches SET accepted_at = now() + interval '1 minute'")  # by a clock that is ahead
        header = await BatchStore(pool).get(batch_id, "default")
        outbox, unused = (
            SimpleNamespace(deliver=AsyncMock()),
            cast("Any", SimpleNamespace(has_finished=lambda *_: False)),
        )
        ahead, behind = (
            BatchControlHandler(
                BatchStore(pool), cast("Any", outbox), unused, unused, unused, unused, unused,
                lambda s=seconds: datetime.now(UTC) + timedelta(seconds=s),  # type: ignore[misc]
            )
            for seconds in (5, -5)
        )  # fmt: skip
        commands = [(ahead, "pause"), (behind, "resume"), (ahead, "change"), (behind, "pause"), (behind, "cancel")]
        for handler, action in commands:
            fields = {"priority": "low"} if action == "change" else {}
            command = BatchControl.model_validate({"batch_id": batch_id, "action": action} | fields)
            await handler.control("default", command)
        sent = [BatchControlled.decode(call.args[0][-1].body) for call in outbox.deliver.call_args_list]
        assert [one.action for one in sent] == [action for _, action in commands]
        assert [one.round for one in sent] == [1, 1, None, 1, 1]
        times = [one.at for one in sent]
        assert header is not None
        assert header.accepted_at < times[0]
        assert all(earlier < later for earlier, later in pairwise(times))
        await pool.close()


async def test_of_two_retries_of_a_round_one_is_accepted(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        aggregator_replies(harness, "finished")  # also after the first retry, which it has not received yet
        assert (await harness.post(f"/batches/{batch_id}/retry"))[0] == 202
        status, problem = await harness.post(f"/batches/{batch_id}/retry")
        assert (status, problem["code"]) == (409, "not_finished")
        assert [forwarded.action for forwarded in await harness.wait_for(BatchControlled)] == ["retry"]


async def test_a_round_that_the_aggregator_does_not_open_is_taken_back(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        aggregator_replies(harness, "finished")
        assert (await harness.post(f"/batches/{batch_id}/retry"))[0] == 202
        assert [row["round"] for row in await harness.rows("SELECT round FROM batches WHERE NOT done")] == [2]
        await harness.rows("UPDATE batches SET heard_at = now() - interval '1 minute'")
        await harness.until_row("SELECT 1 FROM batches WHERE done AND round = 1 AND ended = 1")
        assert (await harness.post(f"/batches/{batch_id}/retry"))[0] == 202
