"""What waits has a bound: past it submitters are told when to come again, and uploads are held up, then break off."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.commands import BatchAppend, BatchSubmit, CommandAccepted, CommandRejected
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.flow import BatchSealed, ItemsPage
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, BatchState
from batchyard_contracts.v1.values import Counts, NewItem
from devstack import Servers
from services.ingest.maintenance import progress_reconciler
from services.ingest.submission import backpressure, upload
from tests.support.broker_alarm import memory_alarm
from tests.support.running_ingest import Around, at_work
from tests.support.uploading import lines, ordinals, post

BOUND = 10_000
KEY = {"Idempotency-Key": "file"}


def submit(number: int, **fields: Any) -> BatchSubmit:
    return BatchSubmit(workload="squares", items=[NewItem(payload={"n": n}) for n in range(number)], **fields)


def progressed(batch_id: UUID, ended: int, total: int) -> BatchProgressed:
    counts = Counts(total=total, succeeded=ended, remaining=total - ended)
    return BatchProgressed(
        workload="squares", owner="default", batch_id=batch_id, round=1, status="running", counts=counts,
        at=datetime.now(UTC),
    )  # fmt: skip


def finished(batch_id: UUID, total: int) -> BatchFinished:
    now = datetime.now(UTC)
    return BatchFinished(
        workload="squares", owner="default", batch_id=batch_id, round=1, result="completed",
        counts=Counts(total=total, succeeded=total), accepted_at=now, finished_at=now,
    )  # fmt: skip


async def until_accepted(found: Around, command: BatchSubmit) -> CommandAccepted:
    """Send a command until there is room for it."""
    async with asyncio.timeout(30):
        while not isinstance(answer := await found.command(command), CommandAccepted):  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # the door says only when one may come again
    return answer


@pytest.mark.parametrize("setting", ["max_waiting_per_owner", "max_waiting"])
async def test_past_the_bound(clean: Servers, setting: str) -> None:
    async with at_work(clean, **{setting: BOUND}) as found:
        first = await found.command(submit(BOUND - 10), message_id="first")
        assert isinstance(first, CommandAccepted)
        refused = await found.command(submit(11))
        assert isinstance(refused, CommandRejected)
        assert (refused.code, refused.status) == ("too_many_waiting", 429)
        assert refused.retry_after_s is not None
        assert "9990 items" in refused.detail
        body = {"workload": "squares", "items": [{"payload": {"n": n}} for n in range(11)]}
        async with found.http.post(f"{found.url}/batches", json=body) as response:
            assert response.status == 429
            assert int(response.headers["Retry-After"]) == refused.retry_after_s
            assert (await response.json(content_type=None))["code"] == "too_many_waiting"
        assert await found.command(submit(BOUND - 10), message_id="first") == first.model_copy(
            update={"replayed": True}
        )
        opened = await found.command(submit(10, sealed=False))
        assert isinstance(opened, CommandAccepted)
        append = BatchAppend(batch_id=opened.batch_id, sequence=0, items=[NewItem(payload={"n": 1})])
        answer = await found.command(append)
        assert isinstance(answer, CommandRejected)
        assert answer.code == "too_many_waiting"
        assert await found.rows("SELECT count(*) FROM batches") == [{"count": 2}]
        await found.publish(EVENTS, progressed(first.batch_id, 500, BOUND - 10))
        await until_accepted(found, submit(500))
        await found.publish(EVENTS, finished(first.batch_id, BOUND - 10))
        await until_accepted(found, submit(9_000))


async def test_one_owner_at_the_bound_is_not_in_another_ones_way(clean: Servers) -> None:
    tokens = {"alice": "alices-token-0123", "bob": "bobs-token-012345"}
    async with at_work(clean, max_waiting_per_owner=BOUND, api_tokens=tokens) as found:
        bearer = {owner: {"Authorization": f"Bearer {token}"} for owner, token in tokens.items()}
        await found.announce(headers=bearer["alice"])
        body = {"workload": "squares", "items": [{"payload": {"n": n}} for n in range(6_000)]}
        statuses = [
            (await found.post("/batches", json=body, headers=bearer[owner]))[0] for owner in ("alice", "alice", "bob")
        ]
        assert statuses == [202, 429, 202]


async def test_the_numbers_are_shared_and_survive_a_restart(clean: Servers) -> None:
    async with at_work(clean, max_waiting=BOUND) as found, at_work(clean, max_waiting=BOUND) as other:
        status, accepted = await post(found, lines(BOUND))
        assert (status, accepted["items"]) == (202, BOUND)
        async with asyncio.timeout(30):
            while (await post(other, lines(1)))[0] != 429:  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # what the other process took is read within a second
    async with at_work(clean, max_waiting=BOUND) as found:
        assert (await post(found, lines(1)))[0] == 429


async def test_an_end_that_was_missed_is_asked_for(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_reconciler, "QUIET", timedelta(seconds=1))

    def answer(query: BatchesQuery) -> BatchesReply:
        states = [
            BatchState(
                batch_id=batch_id, owner=query.owner, workload="squares", priority="normal", status="finished", round=1,
                counts=Counts(total=BOUND, succeeded=BOUND), result="completed", accepted_at=datetime.now(UTC),
            )
            for batch_id in query.batch_ids or []
        ]  # fmt: skip
        return BatchesReply(batches=states)

    async with at_work(clean, max_waiting=BOUND) as found:
        await found.command(submit(BOUND))
        assert isinstance(await found.command(submit(1)), CommandRejected)
        found.answers[BatchesQuery] = answer
        await until_accepted(found, submit(1))


async def test_an_upload_waits_for_room_then_breaks_off_and_goes_on(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backpressure, "HOLD_S", 2.5)

    async def slow() -> AsyncIterator[bytes]:
        """The whole of it would fit into the buffers on its way: the door must see that there is no room."""
        async for piece in lines(60_000):
            yield piece

    async with at_work(clean, max_waiting=30_000) as found:
        async with found.http.post(
            f"{found.url}/batches?workload=squares",
            data=slow(),
            headers={"Content-Type": "application/x-ndjson"} | KEY,
        ) as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["code"]) == (429, "too_many_waiting")
            assert int(response.headers["Retry-After"]) > 0
        assert 10_000 <= problem["items"] <= 60_000
        batch_id = UUID(problem["batch_id"])
        again = asyncio.create_task(post(found, lines(60_000), headers=KEY))
        for ended in range(5_000, 40_001, 5_000):
            await found.publish(EVENTS, progressed(batch_id, ended, 60_000))
            await asyncio.sleep(0.5)  # items end while it is held up
        status, accepted = await again
        assert (status, accepted.get("items")) == (202, 60_000), accepted
        assert (await found.heard(BatchSealed))[0].total == 60_000


async def test_a_broker_that_takes_nothing_slows_the_reading(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upload is read a few pages ahead and no further; it breaks off when the alarm lasts, and goes on after it."""
    monkeypatch.setattr(upload, "_SEND_S", 4.0)
    sent = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal sent
        async for piece in lines(40_000, 1000):
            sent += len(piece)
            yield piece

    async with at_work(clean) as found:
        async with memory_alarm():
            status, problem = await post(found, counted(), headers=KEY)
            assert (status, problem["code"]) == (503, "broker_unavailable"), problem
            assert sent < 25_000_000  # of 42 MB; most of it lies in the sockets between
            opened = await found.get("/workloads/squares")
            assert opened[0] == 200
        status, accepted = await post(found, lines(40_000, 1000), headers=KEY)
        assert (status, accepted["batch_id"], accepted["items"]) == (202, problem["batch_id"], 40_000)
        assert (await found.heard(BatchSealed))[0].total == 40_000
        ((pages,),) = [row.values() for row in await found.rows("SELECT pages FROM batches")]
        await found.until(lambda: len({page.page for page in found.all(ItemsPage)}) == pages)
        assert set(ordinals(found)) == set(range(40_000))
