"""A pause that a destination asked for holds its partition up; one that was guessed does not where the rate adapts."""

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
