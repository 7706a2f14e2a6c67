"""A batch through both doors: what the other services are told, and that a repetition is no second batch."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from yarl import URL

from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted, CommandRejected
from batchyard_contracts.v1.flow import BatchAccepted, ItemsPage, ItemsSettled
from batchyard_contracts.v1.values import NewItem, Notifications
from devstack import Servers
from tests.support.running_ingest import SQUARES, Around, at_work

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def submit(*numbers: int, **options: object) -> BatchSubmit:
    items = [NewItem(payload={"n": n, "url": f"https://Host{n % 2}.example/{n}"}) for n in numbers]
    return BatchSubmit.model_validate({"workload": "squares", "items": items} | options)


def ordinals(pages: list[ItemsPage]) -> list[int]:
    return sorted(item.ordinal for page in pages for segment in page.segments for item in segment.items)


async def test_by_amqp(clean: Servers) -> None:
    async with at_work(clean) as around:
        command = submit(
            1, 2, 3, name="mine", labels={"a": "b"}, priority="low", notify=Notifications(emails=["ann@example.org"])
        )
        reply = await around.command(command, headers={"traceparent": TRACE})
        assert isinstance(reply, CommandAccepted)
        assert (reply.workload, reply.items, reply.replayed) == ("squares", 3, False)
        assert reply.batch_id.version == 7
        await around.heard(BatchAccepted)
        page, accepted = around.flow
        assert isinstance(page, ItemsPage)
        assert (page.batch_id, page.page, page.workload) == (reply.batch_id, 0, "squares")
        assert {s.partition: [(i.ordinal, i.payload["n"]) for i in s.items] for s in page.segments} == {
            "host1.example": [(0, 1), (2, 3)],
            "host0.example": [(1, 2)],
        }
        assert isinstance(accepted, BatchAccepted)
        assert accepted.model_dump(exclude_defaults=True) == {
            "batch_id": reply.batch_id,
            "owner": "default",
            "workload": "squares",
            "priority": "low",
            "total": 3,
            "name": "mine",
            "labels": {"a": "b"},
            "notify": {"emails": ["ann@example.org"]},
            "accepted_at": reply.accepted_at,
        }
        assert {trace and trace.split("-")[1] for trace in around.traces} == {TRACE.split("-")[1]}


async def test_by_http(clean: Servers) -> None:
    async with at_work(clean) as around:
        body = submit(5, 6).encode()
        async with around.http.post(
            f"{around.url}/batches", data=body, headers={"Content-Type": "application/json; charset=utf-8"}
        ) as response:
            assert response.status == 202
            accepted = CommandAccepted.decode(await response.read())
            assert response.headers["Location"] == f"/api/v1/batches/{accepted.batch_id}"
        (told,) = await around.heard(BatchAccepted)
        assert (told.batch_id, told.total, told.owner) == (accepted.batch_id, 2, "default")
        assert ordinals(around.all(ItemsPage)) == [0, 1]


async def test_the_same_again_is_the_same_batch(clean: Servers) -> None:
    async with at_work(clean) as around:
        key = {"Idempotency-Key": '"k-1"'}
        first = await post(around, submit(1), key)
        again = await post(around, submit(1), {"Idempotency-Key": "k-1"})
        by_amqp = await around.command(submit(1, idempotency_key="k-1"))
        assert isinstance(by_amqp, CommandAccepted)
        assert [first["replayed"], again["replayed"], by_amqp.replayed] == [False, True, True]
        assert first["batch_id"] == again["batch_id"] == str(by_amqp.batch_id)
        assert first["accepted_at"] == again["accepted_at"]

        chosen = new_batch_id()
        replies = [await around.command(submit(7, batch_id=chosen)) for _ in range(2)]
        assert [(r.batch_id, r.replayed) for r in replies if isinstance(r, CommandAccepted)] == [
            (chosen, False),
            (chosen, True),
        ]
        message_id = uuid4().hex
        twice = [await around.command(submit(8), message_id=message_id) for _ in range(2)]
        assert [r.replayed for r in twice if isinstance(r, CommandAccepted)] == [False, True]
        assert len({r.batch_id for r in twice if isinstance(r, CommandAccepted)}) == 1
        await around.heard(BatchAccepted, 3)
        assert len(around.all(BatchAccepted)) == len(around.all(ItemsPage)) == 3


async def test_many_at_once_with_one_key_are_one_batch(clean: Servers) -> None:
    async with at_work(clean) as around:
        key = {"Idempotency-Key": "k"}
        found = await asyncio.gather(*(post(around, submit(1, 2), key) for _ in range(10)))
        assert len({each["batch_id"] for each in found}) == 1
        assert [each["replayed"] for each in found].count(True) == 9


async def test_the_same_identity_with_another_body_is_an_error(clean: Servers) -> None:
    async with at_work(clean) as around:
        key = {"Idempotency-Key": "k-1"}
        await post(around, submit(1), key)
        status, problem = await around.post("/batches", data=submit(2).encode(), headers=json_headers(key))
        assert (status, problem["code"]) == (409, "idempotency_conflict")
        by_amqp = await around.command(submit(3, idempotency_key="k-1"))
        assert isinstance(by_amqp, CommandRejected)
        assert (by_amqp.code, by_amqp.status) == ("idempotency_conflict", 409)

        chosen, message_id = new_batch_id(), uuid4().hex
        await around.command(submit(4, batch_id=chosen), message_id=message_id)
        for command, options in ((submit(5, batch_id=chosen), {}), (submit(6), {"message_id": message_id})):
            refused = await around.command(command, **options)
            assert isinstance(refused, CommandRejected)
            assert refused.code == "idempotency_conflict"
        assert len(await around.rows("SELECT FROM batches")) == len(around.all(BatchAccepted)) == 2


async def test_an_owner_is_the_broker_user(clean: Servers) -> None:
    async with at_work(clean) as around:
        user = URL(clean.amqp_url).user
        reply = await around.command(submit(1, idempotency_key="k"), user_id=user)
        other = await around.command(submit(2, idempotency_key="k"))
        assert isinstance(reply, CommandAccepted)
        assert isinstance(other, CommandAccepted)
        told = await around.heard(BatchAccepted, 2)
        assert {each.owner for each in told} == {user, "default"}
        assert (await around.get(f"/batches/{reply.batch_id}"))[0] == 404


async def test_duplicates_are_settled_and_not_sent(clean: Servers) -> None:
    async with at_work(clean) as around:
        items = [{"payload": {"n": n}, "custom_id": f"c{i}"} for i, n in enumerate([1, 2, 1, 3, 1, 2])]
        status, accepted = await around.post("/batches", json={"workload": "squares", "items": items})
        assert (status, accepted["items"]) == (202, 6)
        (settled,) = await around.heard(ItemsSettled)
        (told,) = await around.heard(BatchAccepted)
        assert told.total == 6
        assert ordinals(around.all(ItemsPage)) == [0, 1, 3]
        assert (settled.status, settled.round, settled.batch_id) == ("duplicate", 1, UUID(accepted["batch_id"]))
        assert [(i.ordinal, i.custom_id, i.duplicate_of) for i in settled.items] == [
            (2, "c2", 0),
            (4, "c4", 0),
            (5, "c5", 1),
        ]


async def test_the_largest_command(clean: Servers) -> None:
    async with at_work(clean) as around:
        reply = await around.command(submit(*range(10_000)))
        assert isinstance(reply, CommandAccepted)
        (told,) = await around.heard(BatchAccepted)
        pages = around.all(ItemsPage)
        assert isinstance(around.flow[-1], BatchAccepted)
        assert told.total == 10_000
        assert [page.page for page in pages] == list(range(10))
        assert ordinals(pages) == list(range(10_000))


async def test_nothing_is_left_in_the_outbox(clean: Servers) -> None:
    async with at_work(clean) as around:
        await asyncio.gather(*(around.command(submit(n)) for n in range(20)))
    assert await around.rows("SELECT FROM outbox") == []


def json_headers(more: dict[str, str]) -> dict[str, str]:
    return {"Content-Type": "application/json"} | more


async def post(around: Around, command: BatchSubmit, headers: dict[str, str]) -> dict[str, object]:
    status, accepted = await around.post("/batches", data=command.encode(), headers=json_headers(headers))
    assert status == 202, accepted
    return dict(accepted)


async def test_a_workload_that_lacks_a_setting_is_refused_until_a_worker_has_it(clean: Servers) -> None:
    lacking = SQUARES.model_copy(update={"version": "2", "unavailable": "Set BATCHYARD_SQUARES_KEY of the workers."})
    async with at_work(clean) as around:
        await around.announce(lacking)
        refused = await around.command(submit(1))
        assert isinstance(refused, CommandRejected)
        assert refused.code == "workload_unavailable"
        assert "BATCHYARD_SQUARES_KEY" in refused.detail
        lines = b'{"payload": {"n": 1}}\n'
        for kind, body in (("application/json", submit(1).encode()), ("application/x-ndjson", lines)):
            async with around.http.post(
                f"{around.url}/batches?workload=squares", data=body, headers={"Content-Type": kind}
            ) as response:
                assert response.status == 409
                assert (await response.json())["code"] == "workload_unavailable"
        assert not around.flow
        await around.announce(SQUARES.model_copy(update={"version": "3"}))
        assert isinstance(await around.command(submit(1)), CommandAccepted)


async def test_what_was_taken_is_answered_the_same_whatever_the_workload_lacks_or_takes_now(clean: Servers) -> None:
    other = {"type": "object", "properties": {"m": {"type": "integer"}}, "required": ["m"]}
    later: list[dict[str, Any]] = [{"unavailable": "Set BATCHYARD_SQUARES_KEY of the workers."}, {"item_schema": other}]
    lines, kind = b'{"n": 1}\n', {"Content-Type": "application/x-ndjson", "Idempotency-Key": "k2"}
    async with at_work(clean) as around:
        command = submit(1, idempotency_key="k")
        first = await around.command(command)
        uploaded = await around.post("/batches?workload=squares", data=lines, headers=kind)
        assert isinstance(first, CommandAccepted)
        assert uploaded[0] == 202
        for number, change in enumerate(later):
            await around.announce(SQUARES.model_copy(update={"version": str(number + 2)} | change))
            assert await around.command(command) == first.model_copy(update={"replayed": True})
            again = await around.post("/batches?workload=squares", data=lines, headers=kind)
            assert again == (202, uploaded[1] | {"replayed": True})
            conflict = await around.command(submit(2, idempotency_key="k"))
            assert isinstance(conflict, CommandRejected)
            assert conflict.code == "idempotency_conflict"
        assert len(around.all(BatchAccepted)) == 2
