"""Submissions over AMQP and HTTP: the messages to the other services, and idempotency."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from yarl import URL

from batchyard_contracts import topology
from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted, CommandRejected
from batchyard_contracts.v1.flow import BatchAccepted, ItemsPage, ItemsSettled, NotifierAnnounced
from batchyard_contracts.v1.manifest import Refusal
from batchyard_contracts.v1.values import NewItem, Notifications
from devstack import Servers
from services.ingest.persistence.store import BatchStore
from services.ingest.settings import IngestSettings
from shared.postgres.pool import open_pool
from tests.support.patience import PATIENCE_S
from tests.support.running_ingest import SQUARES, IngestHarness, running_ingest

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def submit(*numbers: int, **options: object) -> BatchSubmit:
    items = [NewItem(payload={"n": n, "url": f"https://Host{n % 2}.example/{n}"}) for n in numbers]
    return BatchSubmit.model_validate({"workload": "squares", "items": items} | options)


def ordinals(pages: list[ItemsPage]) -> list[int]:
    return sorted(item.ordinal for page in pages for segment in page.segments for item in segment.items)


async def test_a_small_batch_over_amqp_is_announced_with_its_items_in_one_message(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        command = submit(
            1, 2, 3, name="mine", labels={"a": "b"}, priority="low", notify=Notifications(emails=["ann@example.org"])
        )
        reply = await harness.command(command, headers={"traceparent": TRACE})
        assert isinstance(reply, CommandAccepted)
        assert (reply.workload, reply.items, reply.replayed) == ("squares", 3, False)
        assert reply.batch_id.version == 7
        await harness.wait_for(BatchAccepted)
        (accepted,) = harness.flow
        assert isinstance(accepted, BatchAccepted)
        assert {s.partition: [(i.ordinal, i.payload["n"]) for i in s.items] for s in accepted.segments or []} == {
            "host1.example": [(0, 1), (2, 3)],
            "host0.example": [(1, 2)],
        }
        assert accepted.model_dump(exclude_defaults=True, exclude={"segments"}) == {
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
        assert {trace and trace.split("-")[1] for trace in harness.traces} == {TRACE.split("-")[1]}


async def test_a_batch_over_http_is_announced_with_its_pages(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        body = submit(5, 6).encode()
        async with harness.http.post(
            f"{harness.url}/batches", data=body, headers={"Content-Type": "application/json; charset=utf-8"}
        ) as response:
            assert response.status == 202
            accepted = CommandAccepted.decode(await response.read())
            assert response.headers["Location"] == f"/api/v1/batches/{accepted.batch_id}"
        (announced,) = await harness.wait_for(BatchAccepted)
        assert (announced.batch_id, announced.total, announced.owner) == (accepted.batch_id, 2, "default")
        assert ordinals(harness.pages) == [0, 1]


async def test_a_repeated_submission_is_the_same_batch(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        key = {"Idempotency-Key": '"k-1"'}
        first = await post(harness, submit(1), key)
        again = await post(harness, submit(1), {"Idempotency-Key": "k-1"})
        by_amqp = await harness.command(submit(1, idempotency_key="k-1"))
        assert isinstance(by_amqp, CommandAccepted)
        assert [first["replayed"], again["replayed"], by_amqp.replayed] == [False, True, True]
        assert first["batch_id"] == again["batch_id"] == str(by_amqp.batch_id)
        assert first["accepted_at"] == again["accepted_at"]

        chosen = new_batch_id()
        replies = [await harness.command(submit(7, batch_id=chosen)) for _ in range(2)]
        assert [(r.batch_id, r.replayed) for r in replies if isinstance(r, CommandAccepted)] == [
            (chosen, False),
            (chosen, True),
        ]
        message_id = uuid4().hex
        twice = [await harness.command(submit(8), message_id=message_id) for _ in range(2)]
        assert [r.replayed for r in twice if isinstance(r, CommandAccepted)] == [False, True]
        assert len({r.batch_id for r in twice if isinstance(r, CommandAccepted)}) == 1
        await harness.wait_for(BatchAccepted, 3)
        assert len(harness.all(BatchAccepted)) == len(harness.pages) == 3


async def test_a_client_chooses_an_id_of_version_7_and_of_about_now(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        for chosen in (uuid4(), UUID("0197a5b0-0000-7000-8000-000000000001")):
            rejected = await harness.command(submit(1, batch_id=chosen))
            assert isinstance(rejected, CommandRejected)
            assert rejected.code == "invalid_batch_id"
            query = f"?workload=squares&batch_id={chosen}"
            headers = {"Content-Type": "application/x-ndjson"}
            status, problem = await harness.post(f"/batches{query}", data=b'{"n": 1}\n', headers=headers)
            assert (status, problem["code"]) == (422, "invalid_batch_id")
        assert await harness.rows("SELECT FROM batches") == []


async def test_notifications_that_cannot_be_sent_are_refused_at_submission(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        notify = Notifications(emails=["a@example.org"])
        assert isinstance(await harness.command(submit(1, notify=notify)), CommandAccepted)  # no notifier is known
        announced = NotifierAnnounced(emails=False, webhooks=True, started_at=datetime.now(UTC))
        await harness.publish(topology.FLOW, announced)
        async with asyncio.timeout(PATIENCE_S):
            while isinstance(reply := await harness.command(submit(2, notify=notify)), CommandAccepted):
                pass  # the announcement has no reply
        assert reply.code == "emails_unavailable"
        query = "?workload=squares&notify_webhook=http://127.0.0.1:9/"
        headers = {"Content-Type": "application/x-ndjson"}
        status, problem = await harness.post(f"/batches{query}", data=b'{"n": 1}\n', headers=headers)
        assert (status, problem["code"]) == (422, "webhook_unreachable")
    async with running_ingest(clean) as harness:  # another process of ingest knows it as well
        reply = await harness.command(submit(3, notify=notify))
        assert isinstance(reply, CommandRejected)


async def test_items_that_cannot_run_with_the_workers_settings_are_refused(clean: Servers) -> None:
    ones = Refusal(item_schema={"properties": {"n": {"const": 1}}}, reason="Set BATCHYARD_X=true.")
    async with running_ingest(clean) as harness:
        await harness.announce(SQUARES.model_copy(update={"version": "2", "refusals": [ones]}))
        reply = await harness.command(submit(2, 1))
        assert isinstance(reply, CommandRejected)
        assert (reply.code, reply.detail, reply.line) == ("item_cannot_run", "Set BATCHYARD_X=true.", 2)


async def test_concurrent_submissions_with_one_key_are_one_batch(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        key = {"Idempotency-Key": "k"}
        found = await asyncio.gather(*(post(harness, submit(1, 2), key) for _ in range(10)))
        assert len({each["batch_id"] for each in found}) == 1
        assert [each["replayed"] for each in found].count(True) == 9


async def test_a_reused_identity_with_another_body_is_rejected(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        key = {"Idempotency-Key": "k-1"}
        await post(harness, submit(1), key)
        status, problem = await harness.post("/batches", data=submit(2).encode(), headers=json_headers(key))
        assert (status, problem["code"]) == (409, "idempotency_conflict")
        by_amqp = await harness.command(submit(3, idempotency_key="k-1"))
        assert isinstance(by_amqp, CommandRejected)
        assert (by_amqp.code, by_amqp.status) == ("idempotency_conflict", 409)

        chosen, message_id = new_batch_id(), uuid4().hex
        await harness.command(submit(4, batch_id=chosen), message_id=message_id)
        for command, options in ((submit(5, batch_id=chosen), {}), (submit(6), {"message_id": message_id})):
            rejected = await harness.command(command, **options)
            assert isinstance(rejected, CommandRejected)
            assert rejected.code == "idempotency_conflict"
        assert len(await harness.rows("SELECT FROM batches")) == len(harness.all(BatchAccepted)) == 2


async def test_a_message_id_is_an_identity_for_seven_days(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        pool = await open_pool(IngestSettings(database_url=clean.database_url), "ingest", "services.ingest.persistence")
        store = BatchStore(pool)
        for days, is_known in ((6, True), (8, False)):
            message_id = f"nightly-{days}"
            first = await harness.command(submit(1), message_id=message_id)
            assert isinstance(first, CommandAccepted)
            aged = "UPDATE ingest.batches SET accepted_at = now() - make_interval(days => $1) WHERE message_id = $2"
            await harness.rows(aged, days, message_id)
            await store.forget_message_ids()
            second = await harness.command(submit(1), message_id=message_id)
            assert isinstance(second, CommandAccepted)
            assert (second.replayed, second.batch_id == first.batch_id) == (is_known, is_known)
        await pool.close()


async def test_one_conflict_among_ten_that_come_together_is_rejected_alone(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await harness.command(submit(99, idempotency_key="taken"))
        chosen = new_batch_id()
        bodies = [{"workload": "squares", "items": [{"payload": {"n": n}}]} for n in range(10)]
        same = bodies[0] | {"batch_id": str(chosen)}
        keyed = bodies[1] | {"idempotency_key": "new"}
        answers = await asyncio.gather(
            *(harness.post("/batches", json=body) for body in [*bodies, same, same, keyed, keyed]),
            harness.post("/batches", json=bodies[2] | {"idempotency_key": "taken"}),
        )
        assert [status for status, _ in answers] == [202] * 14 + [409]
        assert answers[-1][1]["code"] == "idempotency_conflict"
        assert sorted(answer["replayed"] for _, answer in answers[:-1]) == [False] * 12 + [True] * 2
        await harness.wait_for(BatchAccepted, 13)
        assert len(await harness.rows("SELECT FROM batches")) == len(harness.all(BatchAccepted)) == 13


async def test_the_owner_is_the_broker_user(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        user = URL(clean.amqp_url).user
        reply = await harness.command(submit(1, idempotency_key="k"), user_id=user)
        other = await harness.command(submit(2, idempotency_key="k"))
        assert isinstance(reply, CommandAccepted)
        assert isinstance(other, CommandAccepted)
        announced = await harness.wait_for(BatchAccepted, 2)
        assert {each.owner for each in announced} == {user, "default"}
        assert (await harness.get(f"/batches/{reply.batch_id}"))[0] == 404


async def test_duplicates_are_settled_and_not_sent(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        items = [{"payload": {"n": n}, "custom_id": f"c{i}"} for i, n in enumerate([1, 2, 1, 3, 1, 2])]
        status, accepted = await harness.post("/batches", json={"workload": "squares", "items": items})
        assert (status, accepted["items"]) == (202, 6)
        (settled,) = await harness.wait_for(ItemsSettled)
        (announced,) = await harness.wait_for(BatchAccepted)
        assert announced.total == 6
        assert ordinals(harness.pages) == [0, 1, 3]
        assert (settled.status, settled.round, settled.batch_id) == ("duplicate", 1, UUID(accepted["batch_id"]))
        assert [(i.ordinal, i.custom_id, i.duplicate_of) for i in settled.items] == [
            (2, "c2", 0),
            (4, "c4", 0),
            (5, "c5", 1),
        ]


async def test_the_largest_command_is_accepted(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        reply = await harness.command(submit(*range(10_000)))
        assert isinstance(reply, CommandAccepted)
        (announced,) = await harness.wait_for(BatchAccepted)
        pages = harness.pages
        assert isinstance(harness.flow[-1], BatchAccepted)
        assert announced.total == 10_000
        assert [page.page for page in pages] == list(range(10))
        assert ordinals(pages) == list(range(10_000))


async def test_nothing_is_left_in_the_outbox(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await asyncio.gather(*(harness.command(submit(n)) for n in range(20)))
    assert await harness.rows("SELECT FROM outbox") == []


def json_headers(more: dict[str, str]) -> dict[str, str]:
    return {"Content-Type": "application/json"} | more


async def post(harness: IngestHarness, command: BatchSubmit, headers: dict[str, str]) -> dict[str, object]:
    status, accepted = await harness.post("/batches", data=command.encode(), headers=json_headers(headers))
    assert status == 202, accepted
    return dict(accepted)


async def test_a_workload_without_a_required_setting_is_rejected_until_a_worker_has_it(clean: Servers) -> None:
    lacking = SQUARES.model_copy(update={"version": "2", "unavailable": "Set BATCHYARD_SQUARES_KEY of the workers."})
    async with running_ingest(clean) as harness:
        await harness.announce(lacking)
        rejected = await harness.command(submit(1))
        assert isinstance(rejected, CommandRejected)
        assert rejected.code == "workload_unavailable"
        assert "BATCHYARD_SQUARES_KEY" in rejected.detail
        lines = b'{"payload": {"n": 1}}\n'
        for kind, body in (("application/json", submit(1).encode()), ("application/x-ndjson", lines)):
            async with harness.http.post(
                f"{harness.url}/batches?workload=squares", data=body, headers={"Content-Type": kind}
            ) as response:
                assert response.status == 409
                assert (await response.json())["code"] == "workload_unavailable"
        assert not harness.flow
        await harness.announce(SQUARES.model_copy(update={"version": "3"}))
        assert isinstance(await harness.command(submit(1)), CommandAccepted)


async def test_a_repeated_submission_gets_the_same_reply_even_if_it_would_be_rejected_now(clean: Servers) -> None:
    other = {"type": "object", "properties": {"m": {"type": "integer"}}, "required": ["m"]}
    later: list[dict[str, Any]] = [{"unavailable": "Set BATCHYARD_SQUARES_KEY of the workers."}, {"item_schema": other}]
    lines, kind = b'{"n": 1}\n', {"Content-Type": "application/x-ndjson", "Idempotency-Key": "k2"}
    async with running_ingest(clean) as harness:
        command = submit(1, idempotency_key="k")
        first = await harness.command(command)
        uploaded = await harness.post("/batches?workload=squares", data=lines, headers=kind)
        assert isinstance(first, CommandAccepted)
        assert uploaded[0] == 202
        for number, change in enumerate(later):
            await harness.announce(SQUARES.model_copy(update={"version": str(number + 2)} | change))
            assert await harness.command(command) == first.model_copy(update={"replayed": True})
            again = await harness.post("/batches?workload=squares", data=lines, headers=kind)
            assert again == (202, uploaded[1] | {"replayed": True})
            conflict = await harness.command(submit(2, idempotency_key="k"))
            assert isinstance(conflict, CommandRejected)
            assert conflict.code == "idempotency_conflict"
        assert len(harness.all(BatchAccepted)) == 2
