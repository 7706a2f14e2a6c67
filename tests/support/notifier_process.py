"""Runs the notifier as a process of its own and reads its log."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.patience import PATIENCE_S

WAIT_S = PATIENCE_S


class NotifierProcess:
    """A notifier process that has started when the `async with` block begins; `log_file` holds its output."""

    def __init__(self, log_file: Path, **environment: str) -> None:
        self._log_file = log_file
        self._environment = os.environ | {"BATCHYARD_LOG_LEVEL": "info"} | environment
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.launch()
        await self.until_logged("started")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end(signal.SIGKILL)

    async def launch(self) -> None:
        """Start the process without waiting for it to be ready."""
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.notifier", env=self._environment, stdout=log, stderr=log
            )

    async def end(self, number: signal.Signals) -> int:
        """Send a signal if the process still runs, wait for its end and return the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end of the process and return the exit code."""
        assert self._process is not None
        async with asyncio.timeout(WAIT_S):
            return await self._process.wait()

    async def until_logged(self, event: str) -> dict[str, Any]:
        """Wait for the first log line with this event and return it."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for line in self.lines():
                    if line["event"] == event:
                        return line
                if self._process is not None and self._process.returncode is not None:
                    raise AssertionError(f"the notifier ended early: {self.output()}")
                await asyncio.sleep(0.02)

    def lines(self) -> list[dict[str, Any]]:
        """Return the log as one dictionary per line."""
        complete = self.output().splitlines(keepends=True)
        return [json.loads(line) for line in complete if line.startswith("{") and line.endswith("\n")]

    def output(self) -> str:
        """Return the whole output."""
        return self._log_file.read_text("utf-8")
