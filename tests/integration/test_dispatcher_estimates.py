"""The dispatcher estimates batches that are not submitted: their ends, what would do, and whom they delay."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchyard_contracts.v1.queries import EstimateQuery, EstimateReply, PartitionItems
from batchyard_contracts.v1.values import Rate, Terms
from devstack import Servers
from services.dispatcher.forecasts import estimator
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts


@pytest.fixture
async def parts(clean: Servers) -> AsyncIterator[Parts]:
    """A dispatcher with a worker of ten slots for the workload "w", whose items take a second."""
    async with dispatcher_parts(clean) as make:
        made = make()
        made.add_workload("w", chunk_max=5, concurrency=10, partition={"pointer": "/url", "by": "host"})
        for _ in range(50):
            made.state.workload_queue("w").service_times.record("a.example", 10, 10.0)
        yield made


def query(items: int, *, owner: str = "o", **fields: Any) -> EstimateQuery:
    partitions = [PartitionItems(partition="a.example", items=items)]
    return EstimateQuery.model_validate({"owner": owner, "workload": "w", "partitions": partitions} | fields)


async def estimate(parts: Parts, asked: EstimateQuery) -> EstimateReply:
    return await parts.components.estimator.on_estimate_query(asked, ENVELOPE)


def seconds(reply: EstimateReply) -> float:
    assert reply.forecast.p50 is not None, reply
    return (reply.forecast.p50 - reply.forecast.at).total_seconds()


def within(span_s: float, **terms: Any) -> Terms:
    return Terms(deadline=datetime.now(UTC) + timedelta(seconds=span_s), **terms)


async def test_the_end_of_a_batch_is_told_and_nothing_is_submitted(parts: Parts) -> None:
    reply = await estimate(parts, query(1000, other_items=200))
    assert reply.items == 1200
    assert seconds(reply) == pytest.approx(120, rel=0.2)
    assert (reply.chance, reply.alternatives, reply.delays) == (None, [], [])
    assert not parts.state.batches


async def test_batches_that_would_end_later_are_named_to_their_owner_alone(parts: Parts) -> None:
    mine = await parts.add_batch({"a.example": 1000})
    reply = await estimate(parts, query(1000))
    assert seconds(reply) > 150
    (delayed,) = reply.delays
    assert delayed.batch_id == mine
    assert 50 < delayed.by_s < 150
    of_other = await estimate(parts, query(1000, owner="eve"))
    assert (of_other.delays, of_other.delays_of_others) == ([], 1)


async def test_an_urgent_batch_delays_others_and_is_not_delayed(parts: Parts) -> None:
    await parts.add_batch({"a.example": 1000})
    reply = await estimate(parts, query(200, priority="immediate"))
    assert seconds(reply) == pytest.approx(20, rel=0.3)
    assert reply.delays


async def test_a_deadline_that_can_be_kept_has_a_good_chance(parts: Parts) -> None:
    reply = await estimate(parts, query(1000, terms=within(500)))
    assert reply.chance is not None
    assert reply.chance > 0.95
    assert reply.alternatives == []


async def test_a_rate_that_would_do_is_named(parts: Parts) -> None:
    reply = await estimate(parts, query(1000, terms=within(300, rate=Rate(per_second=2))))
    assert reply.chance == 0
    assert reply.forecast.reason is not None
    assert reply.forecast.reason.code == "rate_limit"
    (alternative,) = reply.alternatives
    assert (alternative.kind, alternative.limit) == ("rate", None)
    assert 3.3 <= alternative.value <= 8
    better = await estimate(parts, query(1000, terms=within(300, rate=Rate(per_second=alternative.value))))
    assert better.chance is not None
    assert better.chance >= 0.8


async def test_a_weight_that_would_do_is_named(parts: Parts) -> None:
    for _ in range(3):
        await parts.add_batch({"a.example": 5000})
    reply = await estimate(parts, query(1000, terms=within(200)))
    assert reply.chance is not None
    assert reply.chance < 0.5
    (alternative,) = reply.alternatives
    assert alternative.kind == "weight"
    assert alternative.value in {2, 5, 10, 30, 100}


async def test_no_alternative_is_named_where_none_would_do(parts: Parts) -> None:
    reply = await estimate(parts, query(1000, terms=within(20)))
    assert (reply.chance, reply.alternatives) == (0, [])


async def test_the_limit_of_a_destination_that_would_do_is_named(parts: Parts) -> None:
    limits = {"partition": {"pointer": "/url", "by": "host"}, "rate": {"per_second": 2, "burst": 1}}
    parts.add_workload("w", chunk_max=5, concurrency=10, **limits)
    reply = await estimate(parts, query(1000, terms=within(300)))
    (alternative,) = reply.alternatives
    assert alternative.kind == "destination_rate"
    assert alternative.limit is not None
    assert alternative.limit.endswith("a.example")


@pytest.mark.parametrize("workload", ["w", "unknown"])
async def test_an_end_that_cannot_be_known_has_a_reason(parts: Parts, workload: str) -> None:
    parts.state.workload_queue("w").window.workers = 0
    reply = await estimate(parts, query(10, workload=workload))
    assert reply.forecast.p50 is None
    assert reply.forecast.reason is not None
    assert reply.forecast.reason.code == "no_worker"
    assert "unknown" not in parts.state.workload_queues, "a question makes no queue"


async def test_a_question_that_names_a_destination_often_counts_all_its_items(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.dispatcher.forecasts.forecaster.destinations_for_each", lambda _: 2)
    twice = [PartitionItems(partition="a.example", items=500) for _ in range(4)]
    reply = await estimate(parts, query(1, partitions=twice))
    assert seconds(reply) == pytest.approx(200, rel=0.2)


async def test_a_later_start_counts(parts: Parts) -> None:
    terms = Terms(not_before=datetime.now(UTC) + timedelta(hours=1))
    assert seconds(await estimate(parts, query(10, terms=terms))) > 3500


async def test_questions_beyond_those_that_may_wait_are_told_to_ask_later(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimator, "_MAX_WAITING", 2)
    async with parts.components.estimator._turn:
        asked = [asyncio.create_task(estimate(parts, query(100))) for _ in range(4)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    replies = await asyncio.gather(*asked)
    codes = [reply.forecast.reason.code for reply in replies if reply.forecast.reason]
    assert codes.count("too_many_estimates") == 2
    assert seconds(await estimate(parts, query(100))) > 0
