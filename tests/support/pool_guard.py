"""Notices a task that takes a second connection from a pool while it holds one: enough of them wait for each other."""

import asyncio
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from asyncpg.pool import Pool

from tests.support.source import ROOT

_FOLDERS = ("services", "shared", "tests")


class PoolGuard:
    """Observer of all pools of this process."""

    watched: tuple[str, ...] = ("services", "shared")
    """Folders whose code is watched; a test may hold a connection as another process would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.violations: list[str] = []
        """Places in the code at which a task took a second connection of a pool."""
        self._holding: dict[object, tuple[object, asyncio.Task[object] | None]] = {}
        """Pool and task by connection."""
        pools: Any = Pool
        acquire, release = pools._acquire, pools.release

        async def guarded_acquire(pool: object, within: float | None) -> object:
            task = asyncio.current_task()
            if (pool, task) in self._holding.values():
                self.violations.append("".join(traceback.format_stack(limit=8)))
            is_watched = self._caller_folder() in self.watched
            connection = await acquire(pool, within)
            if is_watched:
                self._holding[connection] = (pool, task)
            return connection

        async def guarded_release(pool: object, connection: object, **options: float | None) -> None:
            self._holding.pop(connection, None)
            await release(pool, connection, **options)

        monkeypatch.setattr(Pool, "_acquire", guarded_acquire)
        monkeypatch.setattr(Pool, "release", guarded_release)

    @staticmethod
    def _caller_folder() -> str:
        """Return the folder of this project with the code that takes the connection."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            file = Path(frame.f_code.co_filename)
            if file.is_relative_to(ROOT) and (folder := file.relative_to(ROOT).parts[0]) in _FOLDERS:
                return folder
            frame = frame.f_back
        return ""
