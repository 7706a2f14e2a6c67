"""A lost lock cancels the session; after every error the session is opened again, and no error ends the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest

from services.dispatcher import app
from services.dispatcher.leadership import epoch
from services.dispatcher.leadership.session import Resources
from services.dispatcher.settings import DispatcherSettings
from shared.runtime import background
from shared.runtime.background import UNREADY_AFTER_S
from shared.runtime.health import Health
from tests.support.patience import PATIENCE_S


class _Lock:
    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def add_termination_listener(self, listener: Any) -> None:
        asyncio.get_running_loop().call_later(0.05, self.lost.set)
        asyncio.get_running_loop().call_later(0.05, listener, self)

    async def fetchval(self, *_: object) -> bool:
        return True

    async def execute(self, _: str) -> None:
        if self.lost.is_set():
            raise asyncpg.InterfaceError("connection is closed")

    def terminate(self) -> None:
        """Do nothing."""


def _dispatcher(monkeypatch: pytest.MonkeyPatch, run: Any) -> app.Dispatcher:
    async def connect(*_: object, **given: Any) -> _Lock:
        assert given["command_timeout"] == app._DEADLINE_S
        return _Lock()

    class Session:
        def __init__(self, _: Resources, __: object) -> None:
            """Accept the arguments of a session."""

        async def run(self, stopping: asyncio.Event) -> None:
            await run(stopping)

    @asynccontextmanager
    async def open_epoch_pool(*_: object) -> AsyncIterator[None]:
        yield

    async def begin(_: object) -> int:
        return 1

    monkeypatch.setattr(asyncpg, "connect", connect)
    monkeypatch.setattr(epoch, "begin", begin)
    monkeypatch.setattr(epoch, "open_epoch_pool", open_epoch_pool)
    monkeypatch.setattr(app, "Session", Session)
    monkeypatch.setattr(app, "_RETRY_INTERVAL_S", 0.01)
    return app.Dispatcher(Resources(DispatcherSettings(), Health(), *[cast("Any", None)] * 3))


async def test_lost_lock_cancels_the_session_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[str] = []

    async def run(_: asyncio.Event) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("broken off")
            if len(ends) == 2:
                dispatcher.stop()
            raise

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
    monkeypatch.setattr(app, "_DEADLINE_S", 0.001)
    monkeypatch.setattr(_Lock, "add_termination_listener", lambda *_: None)
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
