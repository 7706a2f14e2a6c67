"""Waiting items are limited: beyond the limit submissions get 429 with Retry-After, and uploads wait, then stop."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.commands import BatchAppend, BatchSubmit, CommandAccepted, CommandRejected
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.flow import BatchSealed
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, BatchState
from batchyard_contracts.v1.values import Counts, NewItem
from devstack import Servers
from services.ingest.maintenance import progress_reconciler
from services.ingest.submission import backpressure
from services.ingest.submission.upload import WINDOW_BYTES
from tests.support.patience import until
from tests.support.running_ingest import IngestHarness, running_ingest
from tests.support.upload_files import lines, post

pytestmark = pytest.mark.long
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


async def until_accepted(harness: IngestHarness, command: BatchSubmit) -> CommandAccepted:
    """Send a command again until it is accepted."""
    answer = await until(
        lambda: harness.command(command), lambda reply: isinstance(reply, CommandAccepted), pause_s=0.1
    )
    assert isinstance(answer, CommandAccepted)
    return answer


async def test_submissions_that_are_committed_together_do_not_exceed_the_limit_together(clean: Servers) -> None:
    async with running_ingest(clean, max_waiting=BOUND) as harness:
        assert isinstance(await harness.command(submit(BOUND - 5)), CommandAccepted)
        answers = await asyncio.gather(*(harness.command(submit(1)) for _ in range(12)))
        assert sum(isinstance(answer, CommandAccepted) for answer in answers) == 5
        assert {answer.code for answer in answers if isinstance(answer, CommandRejected)} == {"too_many_waiting"}
        assert len(await harness.rows("SELECT FROM batches")) == 1 + 5


@pytest.mark.parametrize("setting", ["max_waiting_per_owner", "max_waiting"])
async def test_submissions_beyond_the_limit_are_rejected_until_items_end(clean: Servers, setting: str) -> None:
    async with running_ingest(clean, **{setting: BOUND}) as harness:
        first = await harness.command(submit(BOUND - 10), message_id="first")
        assert isinstance(first, CommandAccepted)
        rejected = await harness.command(submit(11))
        assert isinstance(rejected, CommandRejected)
        assert (rejected.code, rejected.status) == ("too_many_waiting", 429)
        assert rejected.retry_after_s is not None
        assert "9990 items" in rejected.detail
        body = {"workload": "squares", "items": [{"payload": {"n": n}} for n in range(11)]}
        async with harness.http.post(f"{harness.url}/batches", json=body) as response:
            assert response.status == 429
            assert int(response.headers["Retry-After"]) == rejected.retry_after_s
            assert (await response.json(content_type=None))["code"] == "too_many_waiting"
        assert await harness.command(submit(BOUND - 10), message_id="first") == first.model_copy(
            update={"replayed": True}
        )
        opened = await harness.command(submit(10, sealed=False))
        assert isinstance(opened, CommandAccepted)
        append = BatchAppend(batch_id=opened.batch_id, sequence=0, items=[NewItem(payload={"n": 1})])
        answer = await harness.command(append)
        assert isinstance(answer, CommandRejected)
        assert answer.code == "too_many_waiting"
        assert await harness.rows("SELECT count(*) FROM batches") == [{"count": 2}]
        await harness.publish(EVENTS, progressed(first.batch_id, 500, BOUND - 10))
        await until_accepted(harness, submit(500))
        await harness.publish(EVENTS, finished(first.batch_id, BOUND - 10))
        await until_accepted(harness, submit(9_000))


async def test_the_limit_of_one_owner_does_not_affect_another(clean: Servers) -> None:
    tokens = {"alice": "alices-token-0123", "bob": "bobs-token-012345"}
    async with running_ingest(clean, max_waiting_per_owner=BOUND, api_tokens=tokens) as harness:
        bearer = {owner: {"Authorization": f"Bearer {token}"} for owner, token in tokens.items()}
        await harness.announce(headers=bearer["alice"])
        body = {"workload": "squares", "items": [{"payload": {"n": n}} for n in range(6_000)]}
        statuses = [
            (await harness.post("/batches", json=body, headers=bearer[owner]))[0] for owner in ("alice", "alice", "bob")
        ]
        assert statuses == [202, 429, 202]


async def test_the_bytes_of_waiting_items_are_limited_by_every_door(clean: Servers) -> None:
    note = "x" * 100_000
    large = BatchSubmit(workload="squares", items=[NewItem(payload={"n": n, "note": note}) for n in range(30)])
    async with running_ingest(clean, owner_limits={"waiting_bytes": MAX_MESSAGE_BYTES}) as harness:
        first = await harness.command(large)
        assert isinstance(first, CommandAccepted)
        (stored,) = await harness.rows("SELECT bytes FROM batches")
        assert 3_000_000 < stored["bytes"] < 3_001_000
        rejected = await harness.command(large)
        assert isinstance(rejected, CommandRejected)
        assert (rejected.code, rejected.status) == ("too_many_bytes_waiting", 429)
        assert f"{stored['bytes']} bytes; the limit is {MAX_MESSAGE_BYTES}" in rejected.detail
        status, problem = await post(harness, lines(30, 100_000))
        assert (status, problem["code"]) == (429, "too_many_bytes_waiting")
        opened = await harness.command(submit(1, sealed=False))
        assert isinstance(opened, CommandAccepted)
        answer = await harness.command(BatchAppend(batch_id=opened.batch_id, sequence=0, items=large.items))
        assert isinstance(answer, CommandRejected)
        assert answer.code == "too_many_bytes_waiting"
        _, shown = await harness.get("/limits")
        assert (shown["in_use"]["waiting_items"], shown["limits"]["waiting_bytes"]) == (31, MAX_MESSAGE_BYTES)
        assert stored["bytes"] <= shown["in_use"]["waiting_bytes"] <= stored["bytes"] + 100
        await harness.publish(EVENTS, progressed(first.batch_id, 29, 30))  # by the share of the items that wait
        await until_accepted(harness, large)


async def test_an_upload_counts_its_bytes_also_when_it_is_continued(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backpressure, "MAX_WAIT_S", 0.5)
    note = "x" * 1000

    async def body(number: int) -> AsyncIterator[bytes]:
        for n in range(number):
            yield json.dumps({"n": n, "note": note}).encode() + b"\n"

    sized = len(json.dumps({"n": 1000, "note": note}, separators=(",", ":"))) - 4
    async with running_ingest(clean, owner_limits={"waiting_bytes": 8_000_000}) as harness:
        status, problem = await post(harness, body(20_000), headers=KEY)
        assert (status, problem["code"]) == (429, "too_many_bytes_waiting")
        (stored,) = await harness.rows("SELECT bytes, items FROM batches")
        assert 4_000_000 < stored["bytes"] < 8_000_000 + 2 * WINDOW_BYTES, "what was on its way is kept"
        assert 0 <= stored["bytes"] - sized * stored["items"] <= 9 * stored["items"]
        await harness.publish(EVENTS, progressed(UUID(problem["batch_id"]), stored["items"], 20_000))
        status, problem = await until(
            lambda: post(harness, body(20_000), headers=KEY), lambda answer: answer[1]["items"] > stored["items"]
        )
        assert status == 429
        (grown,) = await harness.rows("SELECT bytes, items FROM batches")
        assert 0 <= grown["bytes"] - sized * grown["items"] <= 9 * grown["items"]


async def test_the_counts_are_shared_and_survive_a_restart(clean: Servers) -> None:
    async with running_ingest(clean, max_waiting=BOUND) as harness, running_ingest(clean, max_waiting=BOUND) as other:
        status, accepted = await post(harness, lines(BOUND))
        assert (status, accepted["items"]) == (202, BOUND)
        # What the other process took is read within a second.
        await until(lambda: post(other, lines(1)), lambda answer: answer[0] == 429, pause_s=0.1)
    async with running_ingest(clean, max_waiting=BOUND) as harness:
        assert (await post(harness, lines(1)))[0] == 429


async def test_a_missed_final_event_is_reconciled(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_reconciler, "STALE_AFTER", timedelta(seconds=1))

    def answer(query: BatchesQuery) -> BatchesReply:
        states = [
            BatchState(
                batch_id=batch_id, owner=query.owner, workload="squares", priority="normal", status="finished", round=1,
                counts=Counts(total=BOUND, succeeded=BOUND), result="completed", accepted_at=datetime.now(UTC),
            )
            for batch_id in query.batch_ids or []
        ]  # fmt: skip
        return BatchesReply(batches=states)

    async with running_ingest(clean, max_waiting=BOUND) as harness:
        await harness.command(submit(BOUND))
        assert isinstance(await harness.command(submit(1)), CommandRejected)
        harness.answers[BatchesQuery] = answer
        await until_accepted(harness, submit(1))


async def test_an_upload_waits_for_room_then_is_interrupted_and_continued(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backpressure, "MAX_WAIT_S", 2.5)

    async def slow() -> AsyncIterator[bytes]:
        """Yield the body in chunks: as a whole it would fit into buffers, and never wait for room."""
        async for piece in lines(60_000):
            yield piece

    async with running_ingest(clean, max_waiting=30_000) as harness:
        async with harness.http.post(
            f"{harness.url}/batches?workload=squares",
            data=slow(),
            headers={"Content-Type": "application/x-ndjson"} | KEY,
        ) as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["code"]) == (429, "too_many_waiting")
            assert int(response.headers["Retry-After"]) > 0
        assert 10_000 <= problem["items"] <= 60_000
        batch_id = UUID(problem["batch_id"])
        again = asyncio.create_task(post(harness, lines(60_000), headers=KEY))
        for ended in range(5_000, 40_001, 5_000):
            await harness.publish(EVENTS, progressed(batch_id, ended, 60_000))
            await asyncio.sleep(0.5)  # items end while it is held up
        status, accepted = await again
        assert (status, accepted.get("items")) == (202, 60_000), accepted
        assert (await harness.wait_for(BatchSealed))[0].total == 60_000
