"""A failure of one batch, or of one change of a rate, holds up no other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest

from batchyard_contracts.v1.events import CircuitChanged
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.rate_limiting.limiter import Limiter
from services.dispatcher.rate_limits import rate_events
from services.dispatcher.rate_limits.rate_events import RateEvents
from services.dispatcher.settlement import batch_stopper
from services.dispatcher.settlement.batch_stopper import BatchStopper
from services.dispatcher.state.state import DispatcherState
from shared.messaging.publisher import OutgoingMessage
from shared.runtime import background
from shared.runtime.background import BackgroundTask
from shared.runtime.errors import MessageRejected
from shared.runtime.health import Pulse
from tests.support.patience import PATIENCE_S


class Counted:
    """The names of the tasks whose errors were counted."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add(self, _: int, attributes: dict[str, str]) -> None:
        self.names.append(attributes["task"])


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counter = Counted()
    monkeypatch.setattr(background, "_errors", counter)
    monkeypatch.setattr(background, "_FIRST_BACKOFF_S", 0.001)
    return counter


@asynccontextmanager
async def running(task: BackgroundTask) -> AsyncIterator[None]:
    run = asyncio.create_task(task.run())
    try:
        yield
        assert not run.done()
    finally:
        task.stop()
        await asyncio.wait_for(run, PATIENCE_S)


class Journal:
    """The record of the calls, in the order in which they came."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self._changed = asyncio.Condition()

    async def add(self, entry: Any) -> None:
        async with self._changed:
            self.entries.append(entry)
            self._changed.notify_all()

    async def until(self, entries: Sequence[Any]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: self.entries == list(entries))


async def test_a_batch_whose_settlement_fails_is_settled_later_and_the_others_now(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_stopper, "_RETRY_S", 0.2)
    monkeypatch.setattr(batch_stopper, "_IDLE_S", 0.01)
    bad, good = (Batch(UUID(int=number), "a", "w", "normal", cancelled=True) for number in (1, 2))
    settled, errors = Journal(), [KeyError("defect")]

    async def settle_waiting(batch: Batch, _: str) -> None:
        if batch is bad and errors:
            raise errors.pop()
        await settled.add(batch.batch_id)

    settler = SimpleNamespace(settle_waiting=settle_waiting)
    nothing: Any = None
    stopper = BatchStopper(
        DispatcherState(), nothing, cast("Any", settler), nothing, nothing, Pulse("batch stopper", 60)
    )
    async with running(stopper):
        stopper.schedule(bad)
        stopper.schedule(good)
        await settled.until([good.batch_id, bad.batch_id])
        assert counted.names == ["batch stopper"]
        assert stopper.is_working


async def test_changes_of_rates_are_kept_while_a_server_is_away(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_events, "_FLUSH_INTERVAL_S", 0.0)
    errors, published = [ConnectionResetError("away")], Journal()

    async def save(limiters: Sequence[tuple[str, Limiter]], *_: object) -> None:
        if errors:
            events.record_circuit_change("w", Limiter("calls", "b"), "closed")
            raise errors.pop()

    async def publish(messages: Sequence[OutgoingMessage]) -> None:
        await published.add([CircuitChanged.decode(m.body).partition for m in messages])

    events = rate_events_of(save, publish)
    async with running(events):
        events.record_circuit_change("w", Limiter("calls", "a"), "closed")
        await published.until([["a", "b"]])
        assert counted.names == ["rates"]


async def test_a_change_of_a_rate_that_can_never_be_saved_or_sent_holds_up_and_drops_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_events, "_FLUSH_INTERVAL_S", 0.0)
    saved, published = Journal(), Journal()

    async def save(limiters: Sequence[tuple[str, Limiter]], *_: object) -> None:
        names = [limiter.value for _, limiter in limiters]
        if "bad" in names:
            raise asyncpg.DataError("value out of range")
        if names:  # else a row of the history
            await saved.add(names)

    async def publish(messages: Sequence[OutgoingMessage]) -> None:
        names = [CircuitChanged.decode(message.body).partition for message in messages]
        if "large" in names:
            raise MessageRejected("split it")
        await published.add(names)

    events = rate_events_of(save, publish)
    for name in ("a", "bad", "large", "b"):
        events.record_circuit_change("w", Limiter("calls", name), "closed")
    async with running(events):
        await published.until([["a"], ["bad"], ["b"]])
        await saved.until([["a"], ["large"], ["b"]])
        assert events.is_working


def rate_events_of(save: Any, publish: Any) -> RateEvents:
    nothing: Any = None
    return RateEvents(
        DispatcherState(),
        cast("Any", SimpleNamespace(save=save)),
        nothing,
        cast("Any", SimpleNamespace(publish=publish)),
        nothing,
        Pulse("rates", 60),
    )
