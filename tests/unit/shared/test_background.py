"""Background tasks go on after every error, and say so."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from shared.runtime import background
from shared.runtime.background import UNREADY_AFTER_S, BackgroundTask, Step
from shared.runtime.health import Pulse
from shared.runtime.process import Runtime
from tests.support.patience import PATIENCE_S


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_FIRST_BACKOFF_S", 0.001)


@asynccontextmanager
async def running(task: BackgroundTask) -> AsyncIterator[None]:
    run = asyncio.create_task(task.run())
    try:
        yield
    finally:
        task.stop()
        await asyncio.wait_for(run, PATIENCE_S)


class Counted:
    """Step that raises the given errors, one at each call, and then succeeds."""

    def __init__(self, *errors: Exception, pause_s: float | None = None) -> None:
        self.calls = 0
        self._errors = list(errors)
        self._pause_s = pause_s
        self._called = asyncio.Condition()

    async def step(self) -> float | None:
        async with self._called:
            self.calls += 1
            self._called.notify_all()
        if self._errors:
            raise self._errors.pop(0)
        return self._pause_s

    async def reached(self, calls: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self._called:
            await self._called.wait_for(lambda: self.calls >= calls)


def task_of(step: Step, interval_s: float = 0.001, clock: Callable[[], float] | None = None) -> BackgroundTask:
    pulse = Pulse("tidying", 60)
    if clock is None:
        return BackgroundTask(pulse, step, interval_s=interval_s)
    return BackgroundTask(pulse, step, interval_s=interval_s, clock=clock)


async def test_a_step_is_repeated_after_errors_of_servers_and_defects() -> None:
    counted = Counted(ConnectionError("away"), KeyError("defect"))
    with capture_logs() as logs:
        async with running(task_of(counted.step)):
            await counted.reached(5)
    failures = [entry for entry in logs if entry["event"] == "background task failed"]
    assert [(entry["task"], entry["failures"], entry["log_level"]) for entry in failures] == [
        ("tidying", 1, "warning"),
        ("tidying", 2, "error"),
    ]
    assert isinstance(failures[1]["exc_info"], KeyError)


async def test_the_pause_after_errors_grows_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_MAX_BACKOFF_S", 0.003)
    counted = Counted(*(KeyError() for _ in range(5)))
    with capture_logs() as logs:
        async with running(task_of(counted.step)):
            await counted.reached(6)
    assert [entry["pause_s"] for entry in logs] == [0.001, 0.002, 0.003, 0.003, 0.003]


async def test_a_step_that_fails_for_long_is_not_working_until_it_succeeds() -> None:
    now, step_ended = 0.0, asyncio.Event()
    fails = True

    async def step() -> None:
        if fails:
            raise KeyError("defect")
        step_ended.set()

    task = task_of(step, clock=lambda: now)
    task._record_failure(KeyError("defect"))
    now = UNREADY_AFTER_S - 1
    assert task.is_working
    task._record_failure(KeyError("defect"))
    now = UNREADY_AFTER_S
    assert not task.is_working
    fails = False
    async with running(task):
        await asyncio.wait_for(step_ended.wait(), PATIENCE_S)
    assert task.is_working


async def test_an_optional_step_makes_no_service_unready_whatever_it_raises() -> None:
    now = 0.0
    task = BackgroundTask(Pulse("tidying", 60), Counted().step, interval_s=1, is_optional=True, clock=lambda: now)
    task._record_failure(KeyError("defect"))
    now = UNREADY_AFTER_S
    assert task._record_failure(KeyError("defect")) > 0
    assert task.is_working


async def test_a_step_decides_on_its_pause_and_an_event_ends_it() -> None:
    at_once, waiting, wake = Counted(pause_s=0.0), Counted(), asyncio.Event()
    async with running(task_of(at_once.step, interval_s=60)):
        await at_once.reached(3)
    async with running(BackgroundTask(Pulse("waiting", 60), waiting.step, interval_s=60, wake=wake)):
        await waiting.reached(1)
        wake.set()
        await waiting.reached(2)
    assert waiting.calls == 2


async def test_a_delayed_task_that_is_stopped_runs_no_step_and_still_finishes() -> None:
    counted, finished = Counted(), asyncio.Event()

    async def finish() -> None:
        finished.set()

    pulse = Pulse("late", 60)
    async with running(BackgroundTask(pulse, counted.step, interval_s=1, delay_s=60, on_stop=finish)):
        await asyncio.sleep(0)
    assert (counted.calls, finished.is_set(), pulse.is_alive) == (0, True, True)


async def test_a_waiting_task_beats_its_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_BEAT_S", 0.001)
    beats, enough = 0, asyncio.Event()
    pulse, counted = Pulse("waiting", 60), Counted()

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats == 5:
            enough.set()

    monkeypatch.setattr(pulse, "beat", beat)
    async with running(BackgroundTask(pulse, counted.step, interval_s=60)):
        await asyncio.wait_for(enough.wait(), PATIENCE_S)
    assert counted.calls == 1


async def test_a_service_is_not_ready_while_a_background_task_is_not_working() -> None:
    runtime, counted, now = Runtime(), Counted(), 0.0
    task = task_of(counted.step, interval_s=60, clock=lambda: now)
    async with runtime.running(task):
        await counted.reached(1)
        assert runtime.health.missing() == []
        task._record_failure(KeyError("defect"))
        now = UNREADY_AFTER_S
        assert runtime.health.missing() == ["tidying"]
    assert runtime.failure is None


async def test_a_task_that_ends_on_error_raises_it_and_is_no_sign_of_an_unready_service() -> None:
    pulse, finished = Pulse("dispatching", 60), asyncio.Event()

    async def finish() -> None:
        finished.set()

    step = Counted(KeyError("defect")).step
    task = BackgroundTask(pulse, step, interval_s=1, on_stop=finish, ends_on_error=True)
    with pytest.raises(KeyError):
        await task.run()
    assert finished.is_set()
    assert task.is_working
    assert pulse.is_alive


async def test_a_task_that_was_stopped_while_it_failed_is_no_sign_of_an_unready_service() -> None:
    now = 0.0
    counted = Counted(*[ConnectionError("away")] * 1000)
    task = task_of(counted.step, clock=lambda: now)
    async with running(task):
        await counted.reached(2)
        now = UNREADY_AFTER_S
        assert not task.is_working
    assert task.is_working
