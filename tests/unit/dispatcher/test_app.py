"""A lost lease cancels the session; after every error the session is opened again, and no error ends the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest

from services.dispatcher import app
from services.dispatcher.leadership import epoch
from services.dispatcher.leadership.epoch import Epoch
from services.dispatcher.leadership.session import Resources
from services.dispatcher.settings import DispatcherSettings
from shared.runtime import background
from shared.runtime.background import UNREADY_AFTER_S
from shared.runtime.health import Health
from tests.support.patience import PATIENCE_S


class _Connection:
    def terminate(self) -> None:
        """Do nothing."""


class _Keeper:
    """A lease that is lost a moment later if it is to be, and renewed otherwise."""

    is_lost = False

    def __init__(self, *_: object) -> None:
        self.number, self.is_valid, self.lost = 1, True, asyncio.Event()

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        if self.is_lost:
            asyncio.get_running_loop().call_later(0.05, self.lost.set)
        yield


def _dispatcher(monkeypatch: pytest.MonkeyPatch, run: Any) -> app.Dispatcher:
    """Return a dispatcher whose sessions do `run`, and that always finds the lease released."""

    async def connect(_: object) -> _Connection:
        return _Connection()

    async def lease_state(_: object) -> str:
        return "released"

    class Session:
        def __init__(self, *_: object) -> None:
            """Accept the arguments of a session."""

        async def run(self, stopping: asyncio.Event) -> None:
            await run(stopping)

    @asynccontextmanager
    async def open_epoch_pool(*_: object) -> AsyncIterator[None]:
        yield

    async def begin(_: object) -> Epoch:
        return Epoch(1, 0.0)

    monkeypatch.setattr(epoch, "connect", connect)
    monkeypatch.setattr(epoch, "lease_state", lease_state)
    monkeypatch.setattr(epoch, "begin", begin)
    monkeypatch.setattr(epoch, "open_epoch_pool", open_epoch_pool)
    monkeypatch.setattr(app, "LeaseKeeper", _Keeper)
    monkeypatch.setattr(app, "Session", Session)
    monkeypatch.setattr(app, "_LOOK_INTERVAL_S", 0.01)
    return app.Dispatcher(Resources(DispatcherSettings(), Health(), *[cast("Any", None)] * 3))


@pytest.mark.parametrize(
    "states",
    [["held", "released"], ["held", "ended", "ended"], ["ended", "held", "ended", "ended"]],
    ids=["released", "ended", "renewed after a pause"],
)
async def test_the_lease_is_taken_when_it_is_released_or_ended_at_two_looks(
    states: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([*states, "not looked at"])

    async def run(_: asyncio.Event) -> None:
        dispatcher.stop()

    dispatcher = _dispatcher(monkeypatch, run)

    async def lease_state(_: object) -> str:
        return next(left)

    monkeypatch.setattr(epoch, "lease_state", lease_state)
    async with asyncio.timeout(PATIENCE_S):
        await dispatcher.run()
    assert list(left) == ["not looked at"]


async def test_a_lost_lease_cancels_the_session_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[str] = []

    async def run(_: asyncio.Event) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("broken off")
            if len(ends) == 2:
                dispatcher.stop()
            raise

    monkeypatch.setattr(_Keeper, "is_lost", True)
    dispatcher = _dispatcher(monkeypatch, run)
    async with asyncio.timeout(PATIENCE_S):
        await dispatcher.run()
    assert ends == ["broken off"] * 2


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the tasks whose errors were counted."""
    names: list[str] = []
    counter = SimpleNamespace(add=lambda _, attributes: names.append(attributes["task"]))
    monkeypatch.setattr(background, "_errors", counter)
    monkeypatch.setattr(background, "_FIRST_BACKOFF_S", 0.001)
    return names


async def test_every_error_opens_the_session_again(monkeypatch: pytest.MonkeyPatch, counted: list[str]) -> None:
    errors: list[Exception] = [asyncpg.UndefinedColumnError("x"), ConnectionResetError("x"), OverflowError("x")]
    works = asyncio.Event()

    async def run(stopping: asyncio.Event) -> None:
        if errors:
            raise errors.pop()
        works.set()
        await stopping.wait()

    dispatcher = _dispatcher(monkeypatch, run)
    running = asyncio.create_task(dispatcher.run())
    async with asyncio.timeout(PATIENCE_S):
        await works.wait()
        assert counted == ["leadership"] * 3
        dispatcher.stop()
        await running
    assert dispatcher.is_working


async def test_sessions_that_fail_for_long_make_the_service_unready_until_one_lasts(
    monkeypatch: pytest.MonkeyPatch, counted: list[str]
) -> None:
    now, fails, lasts = 0.0, True, asyncio.Event()

    async def run(stopping: asyncio.Event) -> None:
        nonlocal now
        now += UNREADY_AFTER_S / 2
        if fails:
            raise OverflowError("cannot convert float infinity to integer")
        lasts.set()
        await stopping.wait()

    dispatcher = _dispatcher(monkeypatch, run)
    monkeypatch.setattr(dispatcher, "_clock", lambda: now)
    monkeypatch.setattr(app, "_BEAT_S", 0.001)
    running = asyncio.create_task(dispatcher.run())
    async with asyncio.timeout(PATIENCE_S):
        while dispatcher.is_working:  # noqa: ASYNC110  time passes by sessions
            await asyncio.sleep(0.001)
        assert len(counted) >= 2
        fails = False
        await lasts.wait()
        assert not dispatcher.is_working, "a session that has only begun says nothing"
        now += UNREADY_AFTER_S
        while not dispatcher.is_working:  # noqa: ASYNC110  it is looked at now and then
            await asyncio.sleep(0.001)
        dispatcher.stop()
        await running


@pytest.mark.parametrize("setting", ["LEASE_S", "WORKER_TIMEOUT_S"])
def test_settings_require_a_lease_of_several_heartbeats(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"BATCHYARD_{setting}", "5")
    with pytest.raises(ValueError, match=f"BATCHYARD_{setting} is 5 and must be at least 6, 3 times"):
        DispatcherSettings()
    monkeypatch.setenv("BATCHYARD_HEARTBEAT_S", "1")
    assert DispatcherSettings().heartbeat_s == 1
