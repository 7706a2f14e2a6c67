"""Shares of owners change while the dispatcher runs, in the order of the changes; the next dispatcher knows them."""

from collections.abc import AsyncIterator, Callable

import pytest

from batchyard_contracts.v1.flow import OwnerWeighted
from devstack import Servers
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts


@pytest.fixture
async def make(clean: Servers) -> AsyncIterator[Callable[[], Parts]]:
    async with dispatcher_parts(clean) as made:
        yield made


async def tell(parts: Parts, number: int, weight: float | None) -> None:
    message = OwnerWeighted(owner="ann", weight=weight, number=number)
    await parts.components.owner_weights.on_owner_weighted(message, ENVELOPE)


def weight(parts: Parts) -> float:
    return parts.state.owner_weights.weight("ann")


async def test_a_change_holds_at_once_and_in_the_next_dispatcher(make: Callable[[], Parts]) -> None:
    parts = make()
    await tell(parts, 1, 2.5)
    assert weight(parts) == 2.5
    successor = make()
    await successor.components.load(lambda: None)
    assert weight(successor) == 2.5
    await tell(successor, 2, None)
    assert weight(successor) == 1.0
    last = make()
    await last.components.load(lambda: None)
    assert weight(last) == 1.0


async def test_a_change_that_arrives_late_or_twice_has_no_effect(make: Callable[[], Parts]) -> None:
    parts = make()
    await tell(parts, 5, 3.0)
    await tell(parts, 4, 9.0)
    assert weight(parts) == 3.0
    parts.state.owner_weights.set("ann", 7.0)
    await tell(parts, 5, 3.0)
    assert weight(parts) == 7.0, "it was saved before"
    await tell(parts, 6, None)
    await tell(parts, 5, 3.0)
    assert weight(parts) == 1.0
