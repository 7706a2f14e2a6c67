"""Attempts of a handler, and the queue whose messages fail in a row: it is held."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest

from batchyard_contracts import topology
from shared.messaging import handling
from shared.messaging.handling import MAX_ATTEMPTS, MAX_FAILURES_IN_A_ROW, HandlerRunner
from shared.runtime.errors import MessageRejected
from tests.support.patience import PATIENCE_S

INTERNAL = topology.AGGREGATOR_OUTCOMES
PUBLIC = topology.INGEST_COMMANDS
SETTLED, REPORT = "items.settled.v1", "chunk.processed.v1"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(handling, "HOLD_PAUSE_S", 0.0)


class Handler:
    """Handler that raises while `error` is set, and counts its calls."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls = 0
        self.called = asyncio.Condition()

    async def __call__(self) -> str:
        async with self.called:
            self.calls += 1
            self.called.notify_all()
        if self.error is not None:
            raise self.error
        return "done"

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.called:
            await self.called.wait_for(condition)


async def fail(runner: HandlerRunner, times: int, message_type: str = SETTLED) -> None:
    for _ in range(times):
        with pytest.raises(KeyError):
            await runner.run(Handler(KeyError("row")), message_type)


async def test_a_defect_is_tried_several_times() -> None:
    handler = Handler(KeyError("row"))
    with pytest.raises(KeyError):
        await HandlerRunner(INTERNAL).run(handler, SETTLED)
    assert handler.calls == MAX_ATTEMPTS


async def test_a_rejected_message_is_tried_once_and_is_no_failure_of_the_service() -> None:
    runner = HandlerRunner(INTERNAL)
    for _ in range(2 * MAX_FAILURES_IN_A_ROW):
        handler = Handler(MessageRejected())
        with pytest.raises(MessageRejected):
            await runner.run(handler, SETTLED)
        assert handler.calls == 1
    await fail(runner, 1)
    assert runner.is_working


async def test_after_several_failures_in_a_row_the_next_message_is_held_until_it_succeeds() -> None:
    runner = HandlerRunner(INTERNAL)
    await fail(runner, MAX_FAILURES_IN_A_ROW)
    handler = Handler(KeyError("row"))

    held = asyncio.create_task(runner.run(handler, SETTLED))
    await handler.until(lambda: handler.calls > 2 * MAX_ATTEMPTS)
    assert not runner.is_working
    assert not held.done()
    handler.error = None

    assert await asyncio.wait_for(held, PATIENCE_S) == "done"
    assert runner.is_working
    await fail(runner, MAX_FAILURES_IN_A_ROW)  # the row begins anew


async def test_a_success_between_two_failures_begins_a_new_row() -> None:
    runner = HandlerRunner(INTERNAL)
    for _ in range(3):
        await fail(runner, MAX_FAILURES_IN_A_ROW - 1)
        await runner.run(Handler(), SETTLED)
    assert runner.is_working


async def test_a_queue_that_clients_reach_never_stops() -> None:
    runner = HandlerRunner(PUBLIC)
    await fail(runner, 3 * MAX_FAILURES_IN_A_ROW)
    assert runner.is_working


async def test_no_message_of_a_worker_stops_a_queue() -> None:
    runner = HandlerRunner(INTERNAL)
    await fail(runner, 3 * MAX_FAILURES_IN_A_ROW, REPORT)
    assert runner.is_working
    await fail(runner, MAX_FAILURES_IN_A_ROW)  # they are in no row with those of services


@pytest.mark.parametrize(
    "error", [asyncpg.UndefinedColumnError("no column x"), asyncpg.UndefinedTableError("no table x"), OSError("away")]
)
async def test_a_message_is_kept_while_tables_or_servers_are_missing(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "UNREADY_AFTER_S", 0.0)
    handler, waits = Handler(error), list[int]()
    runner = HandlerRunner(INTERNAL, on_wait=lambda: waits.append(1))

    kept = asyncio.create_task(runner.run(handler, SETTLED))
    await handler.until(lambda: handler.calls > MAX_ATTEMPTS)
    assert not runner.is_working
    handler.error = None

    assert await asyncio.wait_for(kept, PATIENCE_S) == "done"
    assert runner.is_working
    assert waits
