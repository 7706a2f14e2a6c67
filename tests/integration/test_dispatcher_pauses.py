"""A pause that a destination asked for holds its partition up; one that was guessed does not where the rate adapts."""

import time
from collections.abc import AsyncIterator

import pytest

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import ItemError
from shared.stack import Servers
from tests.support.dispatcher_parts import Parts, dispatcher_parts

REFUSED = ItemError(code="rate_limited", scope="provider")


@pytest.fixture
async def parts(clean: Servers) -> AsyncIterator[Parts]:
    async with dispatcher_parts(clean) as new:
        yield new()


@pytest.mark.parametrize(
    ("adaptive", "guessed", "parked"),
    [(False, False, True), (False, True, True), (True, False, True), (True, True, False)],
)
async def test_who_waits(parts: Parts, adaptive: bool, guessed: bool, parked: bool) -> None:
    parts.employ("w", **({"adaptive": {"floor": 1, "ceiling": 100, "start": 50}} if adaptive else {}))
    async with parts.pumping():
        await parts.begin({"": 1})
        await parts.until(lambda: bool(parts.outbox.chunks))
    (chunk,) = parts.outbox.chunks
    outcome = ItemOutcome(ordinal=0, status="retry", error=REFUSED, delay_s=30.0, guessed=guessed or None)
    await parts.report(chunk, [outcome])
    throttle = parts.yard.line("w").window.limits.of("")[0]
    assert (throttle.parked_until > 0) == parked
    due_s = float(await parts.pool.fetchval("SELECT extract(epoch FROM due_at - now()) FROM retries"))
    assert (due_s > 20) == parked


async def test_a_destination_that_takes_no_more_calls_is_left_alone_before_it_refuses(parts: Parts) -> None:
    parts.employ("w", chunk_max=1)
    async with parts.pumping():
        await parts.begin({"a": 1, "b": 1})
        await parts.until(lambda: len(parts.outbox.chunks) == 2)
    for chunk in parts.outbox.chunks:
        left = {"remaining": 0, "reset_s": 60.0} if chunk.partition == "a" else {}
        success = ItemOutcome(ordinal=chunk.items[0].ordinal, status="succeeded", result={})
        await parts.report(chunk, [success], felt=left)
    async with parts.pumping():
        await parts.begin({"a": 1, "b": 1})
        await parts.until(lambda: len(parts.outbox.chunks) == 3)
        assert parts.outbox.chunks[2].partition == "b"
        assert parts.yard.line("w").window.limits.of("a")[0].parked_until > time.monotonic() + 50
