"""Open batches: appends in order, each once, until the batch is sealed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.commands import BatchAppend, BatchSeal, BatchSubmit, CommandAccepted, CommandRejected
from batchyard_contracts.v1.flow import BatchAccepted, BatchSealed, ItemsPage, ItemsSettled
from batchyard_contracts.v1.values import NewItem
from devstack import Servers, free_ports
from services.ingest.persistence.store import MAX_WAITING_FOR_BATCH
from tests.support.patience import PATIENCE_S
from tests.support.running_ingest import IngestHarness, connect_harness, running_ingest, start_ingest


def new(*numbers: int) -> list[NewItem]:
    return [NewItem(payload={"n": n}) for n in numbers]


def append(batch_id: UUID, sequence: int, *numbers: int) -> BatchAppend:
    return BatchAppend(batch_id=batch_id, sequence=sequence, items=new(*numbers))


def sent(harness: IngestHarness) -> list[tuple[int, int]]:
    """Return the ordinal and the number of every item that was sent."""
    pages = harness.all(ItemsPage)
    return [(i.ordinal, i.payload["n"]) for page in pages for segment in page.segments for i in segment.items]


async def test_appends_over_amqp_are_sent_in_order_until_the_seal(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = new_batch_id()
        first = await harness.command(BatchSubmit(workload="squares", batch_id=batch_id, sealed=False, items=new(1)))
        assert isinstance(first, CommandAccepted)
        replies = [
            await harness.command(command)
            for command in (append(batch_id, 0, 2, 3), append(batch_id, 1, 4), BatchSeal(batch_id=batch_id))
        ]
        assert [(r.items, r.replayed) for r in replies if isinstance(r, CommandAccepted)] == [
            (3, False),
            (4, False),
            (4, False),
        ]
        await harness.wait_for(BatchSealed)
        kinds = [type(message) for message in harness.flow]
        assert kinds == [BatchAccepted, ItemsPage, ItemsPage, ItemsPage, BatchSealed]
        assert harness.all(BatchAccepted)[0].total is None
        assert harness.all(BatchSealed) == [BatchSealed(batch_id=batch_id, total=4)]
        assert [page.page for page in harness.all(ItemsPage)] == [0, 1, 2]
        assert sent(harness) == [(0, 1), (1, 2), (2, 3), (3, 4)]


async def test_commands_sent_without_waiting_keep_their_order(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = new_batch_id()
        commands = [
            BatchSubmit(workload="squares", batch_id=batch_id, sealed=False),
            *(append(batch_id, sequence, sequence) for sequence in range(50)),
            BatchSeal(batch_id=batch_id),
        ]
        waiting = [await harness.begin_command(command.type, command.encode()) for command in commands]
        async with asyncio.timeout(PATIENCE_S):
            replies = await asyncio.gather(*waiting)
        assert {reply.type for reply in replies} == {CommandAccepted.type}
        (sealed,) = await harness.wait_for(BatchSealed)
        assert sealed.total == 50
        assert sent(harness) == [(n, n) for n in range(50)]


async def test_each_append_over_http_acts_once(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        status, batch = await harness.post("/batches", json={"workload": "squares", "sealed": False})
        assert (status, batch["items"]) == (202, 0)
        path = f"/batches/{batch['batch_id']}"
        one = {"sequence": 0, "items": [{"payload": {"n": 1}}]}
        answers = [await harness.post(f"{path}/items", json=one) for _ in range(3)]
        assert [(status, a["items"], a["replayed"]) for status, a in answers] == [
            (202, 1, False),
            (202, 1, True),
            (202, 1, True),
        ]
        other = await harness.post(f"{path}/items", json={"sequence": 0, "items": [{"payload": {"n": 2}}]})
        gap = await harness.post(f"{path}/items", json={"sequence": 2, "items": [{"payload": {"n": 2}}]})
        bad = await harness.post(
            f"{path}/items", json={"sequence": 1, "items": [{"payload": {"n": 2}}, {"payload": {}}]}
        )
        empty = await harness.post(f"{path}/items", json={"sequence": 1, "items": []})
        assert [(status, p["code"], p.get("line")) for status, p in (other, gap, bad, empty)] == [
            (409, "sequence_conflict", None),
            (409, "sequence_gap", None),
            (422, "invalid_item", 2),
            (422, "invalid_command", None),
        ]
        assert "Expected sequence 1" in gap[1]["detail"]
        sealed = [await harness.post(f"{path}/seal") for _ in range(2)]
        assert [(status, a["replayed"]) for status, a in sealed] == [(202, False), (202, True)]
        late = await harness.post(f"{path}/items", json={"sequence": 1, "items": [{"payload": {"n": 2}}]})
        assert (late[0], late[1]["code"]) == (409, "batch_sealed")
        again = await harness.post(f"{path}/items", json=one)
        assert (again[0], again[1]["replayed"]) == (202, True)
        await harness.wait_for(BatchSealed)
        assert [type(message) for message in harness.flow] == [BatchAccepted, ItemsPage, BatchSealed]


async def test_duplicates_are_found_across_appends(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = new_batch_id()
        for command in (
            BatchSubmit(workload="squares", batch_id=batch_id, sealed=False, items=new(1, 1)),
            append(batch_id, 0, 2, 1),
            append(batch_id, 1, 2, 3, 3),
            BatchSeal(batch_id=batch_id),
        ):
            assert isinstance(await harness.command(command), CommandAccepted)
        (sealed,) = await harness.wait_for(BatchSealed)
        assert sealed.total == 7
        assert sent(harness) == [(0, 1), (2, 2), (5, 3)]
        pairs = [(i.ordinal, i.duplicate_of) for settled in harness.all(ItemsSettled) for i in settled.items]
        assert pairs == [(1, 0), (3, 0), (4, 2), (6, 5)]


async def test_without_redis_items_are_accepted_and_duplicates_run(clean: Servers) -> None:
    async with running_ingest(clean, redis_url=f"redis://127.0.0.1:{free_ports(1)[0]}/0") as harness:
        batch_id = new_batch_id()
        for command in (
            BatchSubmit(workload="squares", batch_id=batch_id, sealed=False, items=new(1, 1)),
            append(batch_id, 0, 1),
            BatchSeal(batch_id=batch_id),
        ):
            assert isinstance(await harness.command(command), CommandAccepted)
        (sealed,) = await harness.wait_for(BatchSealed)
        assert sealed.total == 3
        assert sent(harness) == [(0, 1), (2, 1)]


async def test_an_open_batch_without_items_cannot_be_sealed(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        _, batch = await harness.post("/batches", json={"workload": "squares", "sealed": False})
        status, problem = await harness.post(f"/batches/{batch['batch_id']}/seal")
        assert (status, problem["code"]) == (409, "no_items")


async def test_appends_to_the_batch_of_another_owner_are_rejected(clean: Servers) -> None:
    tokens = {"ann": "a-token-for-the-tests", "bob": "b-token-for-the-tests"}
    async with running_ingest(clean, api_tokens=tokens) as harness:
        ann, bob = ({"Authorization": f"Bearer {token}"} for token in tokens.values())
        await harness.announce(headers=ann)
        _, batch = await harness.post("/batches", json={"workload": "squares", "sealed": False}, headers=ann)
        path = f"/batches/{batch['batch_id']}"
        one = {"sequence": 0, "items": [{"payload": {"n": 1}}]}
        for action, options in ((f"{path}/items", {"json": one}), (f"{path}/seal", {})):
            status, problem = await harness.post(action, headers=bob, **options)
            assert (status, problem["code"]) == (404, "batch_not_found")
        rejected = await harness.command(append(UUID(batch["batch_id"]), 0, 1))
        assert isinstance(rejected, CommandRejected)
        assert (rejected.code, rejected.status) == ("batch_not_found", 404)
        assert sent(harness) == []


async def test_a_batch_has_at_most_a_million_items(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        _, batch = await harness.post("/batches", json={"workload": "squares", "sealed": False})
        await harness.rows("UPDATE batches SET items = 999999")
        two = {"sequence": 0, "items": [{"payload": {"n": 1}}, {"payload": {"n": 2}}]}
        status, problem = await harness.post(f"/batches/{batch['batch_id']}/items", json=two)
        assert (status, problem["code"]) == (422, "too_many_items")
        last = {"sequence": 0, "items": [{"payload": {"n": 1}}]}
        assert (await harness.post(f"/batches/{batch['batch_id']}/items", json=last))[0] == 202


async def test_a_batch_takes_appends_through_another_process(clean: Servers) -> None:
    async with running_ingest(clean) as first, start_ingest(clean) as port, connect_harness(clean, port) as second:
        _, batch = await first.post("/batches", json={"workload": "squares", "sealed": False})
        path = f"/batches/{batch['batch_id']}"
        for sequence in range(4):
            harness = (first, second)[sequence % 2]
            body = {"sequence": sequence, "items": [{"payload": {"n": sequence // 2}}]}
            status, answer = await harness.post(f"{path}/items", json=body)
            assert (status, answer["items"]) == (202, sequence + 1), orjson.dumps(answer)
        await second.post(f"{path}/seal")
        await second.wait_for(BatchSealed)
        assert sorted(sent(second)) == [(0, 0), (2, 1)]


@asynccontextmanager
async def row_held(harness: IngestHarness) -> AsyncIterator[None]:
    """Lock the rows of all batches, as another process may."""
    connection = await asyncpg.connect(harness.servers.database_url)
    async with connection.transaction():
        await connection.execute("SELECT FROM ingest.batches FOR UPDATE")
        yield
    await connection.close()


async def test_parallel_appends_to_one_batch_leave_connections_to_others(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.app.SESSION", {"lock_timeout": f"{PATIENCE_S}s"})
    one = {"sequence": 0, "items": [{"payload": {"n": 1}}]}
    async with running_ingest(clean, database_pool=3) as harness:
        _, batch = await harness.post("/batches", json={"workload": "squares", "sealed": False})
        path = f"/batches/{batch['batch_id']}/items"
        async with row_held(harness):
            appends = {asyncio.create_task(harness.post(path, json=one)) for _ in range(MAX_WAITING_FOR_BATCH + 5)}
            refused = set[asyncio.Task[tuple[int, Any]]]()
            async with asyncio.timeout(PATIENCE_S):
                while len(refused) < 4:
                    done, appends = await asyncio.wait(appends, return_when=asyncio.FIRST_COMPLETED)
                    refused |= done
            assert {(task.result()[0], task.result()[1]["code"]) for task in refused} == {(503, "batch_busy")}
            body = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
            assert (await harness.post("/batches", json=body))[0] == 202
        answers = await asyncio.gather(*appends)
        assert {(status, answer["items"]) for status, answer in answers} == {(202, 1)}
        assert len(answers) == MAX_WAITING_FOR_BATCH + 1


async def test_nobody_waits_for_ever_for_a_batch_that_another_process_holds(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.app.SESSION", {"lock_timeout": "100ms"})
    async with running_ingest(clean) as harness:
        _, batch = await harness.post("/batches", json={"workload": "squares", "sealed": False})
        async with row_held(harness), asyncio.timeout(PATIENCE_S):
            status, problem = await harness.post(f"/batches/{batch['batch_id']}/cancel")
        assert (status, problem["code"]) == (503, "unavailable")
        assert (await harness.post(f"/batches/{batch['batch_id']}/cancel"))[0] == 202
