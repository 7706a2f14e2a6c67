"""A bundle of chunks: each runs, is reported and is returned as if it had come alone."""

import asyncio
from uuid import UUID

import pytest

from batchyard_contracts.workload import Limits
from services.worker.consuming import chunk_consumer
from tests.support.consumer_harness import chunk, consumer_harness


def bodies(*numbers: int) -> list[bytes]:
    return [chunk(number).encode() for number in numbers]


async def test_the_chunks_of_a_bundle_run_and_it_is_acknowledged_after_the_last_report() -> None:
    async with consumer_harness() as d:
        await d.broker.deliver_bundle(bodies(1, 2, 3), "bundle")
        await d.broker.until(lambda: sorted(d.begun) == [1, 2, 3])
        assert d.broker.acknowledged == []
        assert set(d.consumer.chunk_ids) == {UUID(int=1), UUID(int=2), UUID(int=3)}
        d.gate.set()
        await d.broker.until(lambda: d.broker.acknowledged == ["bundle"])
        assert {report.chunk_id for report in d.reports if report.final} == {UUID(int=n) for n in (1, 2, 3)}
    assert d.broker.acknowledged == ["bundle"]


async def test_a_chunk_that_cannot_be_read_is_dead_lettered_alone() -> None:
    async with consumer_harness() as d:
        d.gate.set()
        await d.broker.deliver_bundle([*bodies(1), b"no chunk", *bodies(2)], "bundle")
        await d.broker.until(lambda: d.broker.acknowledged == ["bundle"])
    assert (d.begun, d.dead_letters) == ([1, 2], [b"no chunk"])


async def test_a_copy_of_a_bundle_after_a_lost_connection_runs_no_chunk_twice() -> None:
    async with consumer_harness(limits=Limits(concurrency=1)) as d:
        await d.broker.deliver_bundle(bodies(1, 2), "bundle")
        await d.broker.until(lambda: d.begun == [1])
        d.broker.cut()
        await d.broker.deliver_bundle(bodies(1, 2), "copy", redelivered=True)
        d.gate.set()
        await d.broker.until(lambda: d.broker.acknowledged == ["copy"])
    assert (d.begun, d.returned) == ([1, 2], [])


async def test_every_chunk_of_a_lost_worker_s_bundle_is_returned() -> None:
    async with consumer_harness() as d:
        await d.broker.deliver_bundle(bodies(1, 2), "suspects", redelivered=True)
        await d.broker.until(lambda: d.broker.acknowledged == ["suspects"])
        assert {(r.chunk_id, r.reason) for r in d.returned} == {(UUID(int=n), "redelivered") for n in (1, 2)}
    assert d.begun == []


async def test_a_chunk_that_others_of_its_bundle_keep_waiting_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_consumer, "_BUNDLE_WAIT_S", 0.01)
    async with consumer_harness(limits=Limits(concurrency=1)) as d:
        await d.broker.deliver_bundle(bodies(1, 2), "bundle")
        await d.broker.until(lambda: d.begun == [1] and bool(d.returned))
        assert [(r.chunk_id, r.reason) for r in d.returned] == [(UUID(int=2), "stopping")]
        assert d.consumer.chunk_ids == [UUID(int=1)]
        d.gate.set()
        await d.broker.until(lambda: d.broker.acknowledged == ["bundle"])
    assert d.begun == [1]


async def test_a_chunk_that_came_alone_waits_for_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_consumer, "_BUNDLE_WAIT_S", 0.0)
    async with consumer_harness(limits=Limits(concurrency=1)) as d:
        await d.broker.deliver(chunk(1), "first")
        await d.broker.until(lambda: d.begun == [1])
        await d.broker.deliver(chunk(2), "second")
        await asyncio.sleep(0)
        d.gate.set()
        await d.broker.until(lambda: d.broker.acknowledged == ["first", "second"])
    assert (d.begun, d.returned) == ([1, 2], [])
