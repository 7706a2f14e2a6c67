"""One command for all batches that a filter selects: previewed, done once for each, and finished by another process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from batchyard_contracts.v1.commands import BatchControl
from batchyard_contracts.v1.flow import BatchControlled
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply
from devstack import Servers
from services.ingest.control.control_handler import BatchControlHandler
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.persistence.bulk_store import BulkStore
from services.ingest.settings import IngestSettings
from shared.postgres.pool import Pool, open_pool
from tests.support.patience import until
from tests.support.running_ingest import IngestHarness, running_ingest

BODY = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
PAUSE: dict[str, Any] = {"action": "pause", "filter": {"workload": "squares"}}


class Ledger:
    """The aggregator, which lists batches in the order of acceptance."""

    def __init__(self, harness: IngestHarness) -> None:
        self.ids: list[str] = []
        self.asked: list[BatchesQuery] = []
        harness.answers[BatchesQuery] = self.answer

    def answer(self, query: BatchesQuery) -> BatchesReply:
        self.asked.append(query)
        start = self.ids.index(str(query.after)) + 1 if query.after else 0
        fields = {"owner": "default", "workload": "squares", "priority": "normal", "status": "running", "round": 1}
        fields |= {"counts": {"total": 1, "remaining": 1}, "accepted_at": "2026-11-30T06:00:00Z"}
        page = self.ids[start : start + query.limit]
        return BatchesReply.model_validate({"batches": [fields | {"batch_id": batch} for batch in page]})


async def submitted(harness: IngestHarness, count: int) -> Ledger:
    ledger = Ledger(harness)
    for _ in range(count):
        status, accepted = await harness.post("/batches", json=BODY)
        assert status == 202
        ledger.ids.append(accepted["batch_id"])
    return ledger


async def ended(harness: IngestHarness, action_id: str) -> dict[str, Any]:
    """Wait for the end of an action."""
    path = f"/batch-actions/{action_id}"
    _, shown = await until(lambda: harness.get(path), lambda answer: answer[1]["state"] == "ended")
    return dict(shown)


async def test_every_selected_batch_gets_the_command_once(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        ledger = await submitted(harness, 120)  # several pages
        status, preview = await harness.post("/batch-actions", json=PAUSE | {"dry_run": True})
        assert (status, preview["count"], preview["more"], len(preview["samples"])) == (200, 120, False, 20)
        assert harness.all(BatchControlled) == []
        await harness.rows("UPDATE batches SET done = true WHERE batch_id = $1", UUID(ledger.ids[7]))
        status, begun = await harness.post("/batch-actions", json=PAUSE, headers={"Idempotency-Key": "k"})
        assert (status, begun["action"], begun["done"]) == (202, "pause", 0)
        shown = await ended(harness, begun["id"])
        assert (shown["done"], shown["refused"], shown["error"][:14]) == (119, 1, "batch_finished")
        sent = [str(message.batch_id) for message in await harness.wait_for(BatchControlled, 119)]
        assert sorted(sent) == sorted(set(ledger.ids) - {ledger.ids[7]})
        query = ledger.asked[-1]
        assert (query.statuses, query.results, query.oldest_first) == (["open", "running"], [], True)
        rows = await harness.rows("SELECT actor, door FROM audit WHERE action = 'batch.pause' GROUP BY 1, 2")
        assert rows == [{"actor": "default", "door": "http"}]
        status, again = await harness.post("/batch-actions", json=PAUSE, headers={"Idempotency-Key": "k"})
        assert (status, again["id"]) == (202, begun["id"])
        other = {**PAUSE, "action": "resume"}
        status, problem = await harness.post("/batch-actions", json=other, headers={"Idempotency-Key": "k"})
        assert (status, problem["code"]) == (409, "idempotency_conflict")
        status, listed = await harness.get("/batch-actions")
        assert (status, [one["id"] for one in listed["actions"]]) == (200, [begun["id"]])


async def test_a_page_that_is_done_again_commands_nothing_twice(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await submitted(harness, 3)
        begun = (await harness.post("/batch-actions", json=PAUSE))[1]
        await ended(harness, begun["id"])
        await harness.wait_for(BatchControlled, 3)
        await harness.rows("UPDATE batch_actions SET ended_at = NULL, last_batch = NULL, done = 0")  # as after a kill
        assert (await ended(harness, begun["id"]))["done"] == 3
        assert len(harness.all(BatchControlled)) == 3


async def test_an_action_waits_for_a_service_that_is_away(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        ledger = await submitted(harness, 2)
        del harness.answers[BatchesQuery]
        begun = (await harness.post("/batch-actions", json=PAUSE))[1]
        waits = "SELECT 1 FROM batch_actions WHERE lease_until < now() + interval '6 seconds'"
        await harness.until_row(waits)
        harness.answers[BatchesQuery] = ledger.answer
        await harness.rows("UPDATE batch_actions SET lease_until = NULL")
        assert (await ended(harness, begun["id"]))["done"] == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError(), "A defect: ZeroDivisionError"),
        (IngestError(Rejection("service_error", "The aggregator met a defect.", 502)), "service_error"),
    ],
    ids=["here", "in another service"],
)
async def test_a_defect_concerns_its_batch_alone(
    clean: Servers, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    async with running_ingest(clean) as harness:
        ledger = await submitted(harness, 3)
        control = BatchControlHandler.control

        async def failing(handler: BatchControlHandler, owner: str, command: BatchControl, *more: Any) -> Any:
            if str(command.batch_id) == ledger.ids[1]:
                raise error
            return await control(handler, owner, command, *more)

        monkeypatch.setattr(BatchControlHandler, "control", failing)
        begun = (await harness.post("/batch-actions", json=PAUSE))[1]
        shown = await ended(harness, begun["id"])
        assert (shown["done"], shown["refused"]) == (2, 1)
        assert shown["error"].startswith(reason)


async def test_wrong_actions_are_refused(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await submitted(harness, 0)
        wrong: list[dict[str, Any]] = [
            {**PAUSE, "filter": {}}, {**PAUSE, "action": "explode"}, {**PAUSE, "priority": "low"},
            {**PAUSE, "action": "change"}, {**PAUSE, "filter": {"states": ["open"]}},
            {**PAUSE, "filter": {"batch_ids": ["x"]}}, {**PAUSE, "filter": {"state": [], "q": "", "label": {}}},
            {**PAUSE, "filter": {"workload": None, "batch_ids": None}},
        ]  # fmt: skip
        for document in wrong:
            status, problem = await harness.post("/batch-actions", json=document)
            assert status == 422, (document, problem)
        await harness.rows(
            "INSERT INTO batch_actions (action_id, owner, actor, door, form, lease_until) "
            "SELECT gen_random_uuid(), 'default', 'default', 'http', $1::json, now() + interval '1 hour' "
            "FROM generate_series(1, 10)",
            '{"action": "pause", "filter": {"q": "a"}}',
        )
        status, problem = await harness.post("/batch-actions", json=PAUSE)
        assert (status, problem["code"]) == (429, "too_many_batch_actions")


INSERT = """INSERT INTO batch_actions (action_id, owner, actor, door, form, key_id, created_at)
VALUES (gen_random_uuid(), 'ann', 'ann', 'http', '{"action": "pause", "filter": {"q": "a"}}', $1, $2)
RETURNING action_id"""


@asynccontextmanager
async def bulk_store(clean: Servers) -> AsyncIterator[tuple[BulkStore, Pool]]:
    pool = await open_pool(IngestSettings(database_url=clean.database_url), "ingest", "services.ingest.persistence")
    try:
        yield BulkStore(pool), pool
    finally:
        await pool.close()


async def test_a_page_that_two_processes_did_counts_once(clean: Servers) -> None:
    async with bulk_store(clean) as (store, pool):
        await pool.execute(INSERT, None, datetime.now(UTC))
        slow = await store.claim()
        assert slow is not None
        assert await store.claim() is None, "one process at a time"
        await pool.execute("UPDATE batch_actions SET lease_until = now()")
        fast = await store.claim()
        assert fast is not None
        first, second = uuid4(), uuid4()
        await store.save(fast, first, 50, 0)
        fast = await store.claim()
        assert fast is not None
        assert (fast.last_batch, fast.done) == (first, 50)
        await store.save(fast, second, 50, 0)
        await store.save(slow, first, 49, 1, error="late", has_ended=True)
        found = await store.get("ann", slow.action_id)
        assert found is not None
        assert (found.last_batch, found.done, found.refused, found.ended_at) == (second, 100, 0, None)


async def test_actions_take_turns(clean: Servers) -> None:
    async with bulk_store(clean) as (store, pool):
        began = datetime.now(UTC) - timedelta(minutes=1)
        for number in range(3):
            await pool.execute(INSERT, None, began + timedelta(seconds=number))
        turns = []
        for _ in range(6):
            action = await store.claim()
            assert action is not None
            turns.append(action.action_id)
            await store.save(action, uuid4(), 1, 0)
        assert turns[:3] == turns[3:]
        assert len(set(turns)) == 3


async def test_an_action_ends_with_the_key_that_began_it(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await submitted(harness, 1)
        await harness.rows(
            "INSERT INTO api_keys (id, owner, name, sha256, hint, scopes, revoked_at) "
            "VALUES ('k1', 'default', 'k', sha256('k'), 'k', '{}', now())"
        )
        action = (await harness.rows(INSERT.replace("'ann'", "'default'"), "k1", datetime.now(UTC)))[0]["action_id"]
        shown = await ended(harness, str(action))
        assert (shown["done"], shown["refused"], shown["error"][:11]) == (0, 0, "key_revoked")
        assert harness.all(BatchControlled) == []
