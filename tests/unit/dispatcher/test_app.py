"""A lost lock cancels the session; transient errors are waited out, others end the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import pytest

from services.dispatcher import app
from services.dispatcher.leadership import epoch
from services.dispatcher.leadership.session import Resources
from services.dispatcher.settings import DispatcherSettings
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
        assert given["command_timeout"] == 5.0
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


async def test_transient_error_restarts_the_session_and_another_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Exception] = [asyncpg.UndefinedColumnError("x"), ConnectionResetError("x")]

    async def run(_: asyncio.Event) -> None:
        raise errors.pop()

    dispatcher = _dispatcher(monkeypatch, run)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(asyncpg.UndefinedColumnError):
            await dispatcher.run()
    assert errors == []


@pytest.mark.parametrize("setting", ["LEASE_S", "WORKER_TIMEOUT_S"])
def test_settings_require_a_lease_of_several_heartbeats(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"BATCHYARD_{setting}", "5")
    with pytest.raises(ValueError, match=f"BATCHYARD_{setting} is 5 and must be at least 6, 3 times"):
        DispatcherSettings()
    monkeypatch.setenv("BATCHYARD_HEARTBEAT_S", "1")
    assert DispatcherSettings().heartbeat_s == 1
