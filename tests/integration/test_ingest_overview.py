"""The overview tells what runs and what needs somebody, an owner its own things and an operator all."""

from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika

from batchyard_contracts import topology
from batchyard_contracts.api_keys import new_api_key
from batchyard_contracts.v1.queries import (
    BatchState,
    EndsQuery,
    EndsReply,
    LoadQuery,
    LoadReply,
    RateState,
    WorkloadLoad,
)
from batchyard_contracts.v1.values import Counts, ItemError, WaitReason
from devstack import Servers
from services.ingest.domain.attention import MissedRun, attention
from tests.support.patience import until
from tests.support.running_ingest import IngestHarness, running_ingest

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
OPERATOR_KEY = new_api_key("test")


def ended(**fields: Any) -> BatchState:
    given: dict[str, Any] = {
        "batch_id": "019a2b3c-0000-7000-8000-000000000001", "owner": "default", "workload": "squares",
        "priority": "normal", "status": "finished", "round": 1, "result": "partial", "accepted_at": AT,
        "finished_at": AT, "counts": Counts(total=3, succeeded=2, failed=1),
    }  # fmt: skip
    return BatchState.model_validate(given | fields)


ENDS = EndsReply(results={"completed": 7}, last=[ended()], failed=[ended(stop_reason="failure_threshold", name="sets")])
LOAD = LoadReply(
    workers=2,
    batches=3,
    paused=1,
    in_flight=5,
    workloads=[
        WorkloadLoad(
            workload="squares", workers=0, batches=2, waiting=WaitReason(code="no_worker", detail="No live worker.")
        )
    ],
    circuits=[
        RateState(
            workload="squares", limit="partition", partition="a.example", reason="", circuit="open",
            error=ItemError(code="captcha"), waiting=9,
        )
    ],
)  # fmt: skip


class Asked:
    """The dispatcher and the aggregator, and the questions that they were asked."""

    def __init__(self, harness: IngestHarness) -> None:
        self.owners: list[str | None] = []
        harness.answers |= {EndsQuery: self.ends, LoadQuery: self.load}

    def ends(self, query: EndsQuery) -> EndsReply:
        assert timedelta(hours=23) < datetime.now(UTC) - query.since < timedelta(hours=25)
        return ENDS

    def load(self, query: LoadQuery) -> LoadReply:
        self.owners.append(query.owner)
        return LOAD


async def test_the_overview_joins_what_each_service_knows(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        Asked(harness)
        body: dict[str, Any] = {"workload": "squares", "items": [{"payload": {"n": n}} for n in range(3)]}
        for sealed in (True, True, False, True):
            assert (await harness.post("/batches", json=body | {"sealed": sealed}))[0] == 202
        seen: dict[str, Any] = {}

        async def shows_all() -> bool:
            nonlocal seen
            status, seen = await harness.get("/overview")
            assert status == 200
            return bool(seen["items"]["remaining"] == 12 and seen["batches"]["open"] == 1)

        await until(shows_all)
        assert seen["batches"] == {
            "open": 1, "running": 2, "paused": 1, "completed": 7, "partial": 0, "failed": 0, "cancelled": 0,
        }  # fmt: skip
        assert (seen["items"], seen["items_per_s"]) == ({"remaining": 12, "running": 5}, 0.0)
        assert [entry["kind"] for entry in seen["attention"]] == ["batch_stopped", "circuit_open", "no_worker"]
        stopped = seen["attention"][0]
        assert "'sets' was stopped, because more items failed" in stopped["detail"]
        assert stopped["batch_id"] == str(ENDS.last[0].batch_id)
        assert [batch["batch_id"] for batch in seen["ends"]] == [stopped["batch_id"]]
        parts = {part["name"]: (part["kind"], part["state"]) for part in seen["system"]}
        assert parts["ingest"] == ("service", "up")
        assert parts["worker"] == ("service", "up")
        assert {parts[name] for name in ("RabbitMQ", "PostgreSQL", "Redis")} == {("server", "up")}
        assert parts.keys() >= {"dispatcher", "aggregator", "notifier"}


async def test_services_that_are_away_leave_their_parts_out(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        status, seen = await harness.get("/overview")
        assert status == 200
        assert "ends" not in seen
        assert seen["items"].keys() == {"remaining"}
        assert seen["batches"].keys() == {"open", "running"}
        assert "worker" not in {part["name"] for part in seen["system"]}


async def test_owners_see_their_own_and_operators_all(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        operator = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        made = {"name": "a key", "owner": "ann", "scopes": ["batches:read"]}
        ann = {"Authorization": f"Bearer {(await harness.post('/keys', json=made, headers=operator))[1]['key']}"}
        asked = Asked(harness)
        for headers, owner in ((ann, ""), (ann, "bob"), (operator, ""), (operator, "bob")):
            params = {"owner": owner} if owner else {}
            assert (await harness.get("/overview", headers=headers, params=params))[0] == 200
        assert asked.owners == ["ann", None, "bob"], "one answer serves an owner for a second"


async def test_dead_letters_are_for_operators(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        Asked(harness)
        connection = await aio_pika.connect(clean.amqp_url)
        async with connection, connection.channel() as channel:
            dead = await channel.get_exchange(topology.DEAD, ensure=False)
            await dead.publish(aio_pika.Message(b"{}"), "ingest.commands")

        async def tells() -> bool:
            seen = (await harness.get("/overview"))[1]
            return any(entry["kind"] == "dead_letters" for entry in seen["attention"])

        await until(tells)
        (entry,) = [one for one in (await harness.get("/overview"))[1]["attention"] if one["kind"] == "dead_letters"]
        assert (entry["queue"], entry["count"]) == ("ingest.commands", 1)


def test_the_most_urgent_comes_first_and_the_list_is_bounded() -> None:
    run = MissedRun("weekly", "ann", AT, "missed", None, 3)
    found = attention(
        [ended(), ended(stop_reason="deadline")], LOAD.circuits, {"a": 2, "b": 5}, LOAD.workloads, [run, run]
    )
    assert [entry.kind for entry in found] == [
        "batch_stopped", "batch_failed", "circuit_open", "dead_letters", "dead_letters", "no_worker",
        "schedule_missed", "schedule_missed",
    ]  # fmt: skip
    assert [entry.count for entry in found if entry.kind == "dead_letters"] == [5, 2]
    assert found[-1].detail == "3 times of weekly were missed"
    assert len(attention([ended()] * 200, [], {}, [], [])) == 50
