"""A stream sends the newest data of each topic, no more often than wanted, and never loses an end."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.progress import subscription
from services.ingest.progress.subscription import Subscription, Subscriptions
from tests.support.patience import PATIENCE_S

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)


def progress(number: int, done: int = 1) -> ProgressSnapshot:
    fields: dict[str, Any] = {
        "batch_id": UUID(int=number), "owner": "ann", "workload": "w", "round": 1, "status": "running",
        "counts": {"total": 9, "succeeded": done}, "at": AT,
    }  # fmt: skip
    message = BatchProgressed.model_validate(fields)
    return ProgressSnapshot.from_fields({"type": message.type, **message.model_dump(mode="json", exclude_none=True)})


def plain(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads(orjson.dumps(frames))
    return found


def test_newer_data_takes_the_place_of_what_was_not_sent() -> None:
    one = Subscription("x", 0.0)
    one.put("snapshot", 1)
    one.put("change", 2)
    one.put("change", 3)
    one.put("end", 4)
    one.put("change", 5)  # of the next round
    assert [(frame["seq"], frame["kind"], frame["data"]) for frame in one.take(0.0)] == [
        (1, "snapshot", 1), (2, "end", 4), (3, "change", 5),
    ]  # fmt: skip
    assert not one.has_data


def test_changes_of_batches_are_joined_and_bounded() -> None:
    one = Subscription("x", 0.0)
    for number, done in ((1, 2), (2, 1), (1, 3), (1, 1)):
        one.offer(UUID(int=number), progress(number, done))
    (frame,) = plain(one.take(0.0))
    assert [batch["counts"]["succeeded"] for batch in frame["data"]] == [3, 1], "the newest of each"
    for number in range(subscription.MAX_CHANGED + 1):
        one.offer(UUID(int=number), progress(number))
    assert [frame["kind"] for frame in one.take(0.0)] == ["behind"]
    one.offer(UUID(int=1), progress(1))
    assert [frame["kind"] for frame in one.take(0.0)] == ["change"]


async def test_frames_of_all_topics_that_are_due_leave_together() -> None:
    topics, slow = Subscriptions(), Subscription("slow", 0.05)
    quick = Subscription("quick", 0.0)
    for each in (slow, quick):
        topics.add(each)
        each.put("snapshot", each.id)
    async with asyncio.timeout(PATIENCE_S):
        assert [frame["id"] for frame in await topics.next_frames()] == ["slow", "quick"]
        began = asyncio.get_running_loop().time()
        slow.put("change", 1)
        quick.put("change", 2)
        assert [frame["id"] for frame in await topics.next_frames()] == ["quick"]
        assert [frame["id"] for frame in await topics.next_frames()] == ["slow"]
        assert asyncio.get_running_loop().time() - began >= 0.04
        waiting = asyncio.create_task(topics.next_frames())
        await asyncio.sleep(0)
        quick.put("change", 3)
        assert [frame["data"] for frame in await waiting] == [3]
    quick.put("change", 4)
    topics.remove("quick")
    assert len(topics) == 1


def test_the_end_of_a_batch_is_told_with_its_result() -> None:
    fields: dict[str, Any] = {
        "batch_id": UUID(int=1), "owner": "ann", "workload": "w", "round": 1, "result": "completed", "counts": {},
        "accepted_at": AT, "finished_at": AT,
    }  # fmt: skip
    message = BatchFinished.model_validate(fields)
    one = Subscription("x", 0.0)
    end = ProgressSnapshot.from_fields({"type": message.type, **message.model_dump(mode="json", exclude_none=True)})
    one.offer(UUID(int=1), end)
    one.offer(UUID(int=1), progress(1))
    (frame,) = plain(one.take(0.0))
    assert [batch["type"] for batch in frame["data"]] == ["batch.finished.v1"], "no step follows an end"
