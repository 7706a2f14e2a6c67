"""The notifier as a process of its own, with its log at hand."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WAIT_S = 30.0


class NotifierProcess:
    """Runs from `async with`, where it has started, to its end; `log_file` keeps what it wrote."""

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
        """Start it without waiting for more."""
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.notifier", env=self._environment, stdout=log, stderr=log
            )

    async def end(self, number: signal.Signals) -> int:
        """Send a signal, if it still runs, and wait for the end; the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end; the exit code."""
        assert self._process is not None
        async with asyncio.timeout(WAIT_S):
            return await self._process.wait()

    async def until_logged(self, event: str) -> dict[str, Any]:
        """The first line with this event, as soon as it is there."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for line in self.lines():
                    if line["event"] == event:
                        return line
                if self._process is not None and self._process.returncode is not None:
                    raise AssertionError(f"the notifier ended early: {self.output()}")
                await asyncio.sleep(0.02)

    def lines(self) -> list[dict[str, Any]]:
        """The log, a dictionary a line."""
        complete = self.output().splitlines(keepends=True)
        return [json.loads(line) for line in complete if line.startswith("{") and line.endswith("\n")]

    def output(self) -> str:
        """All that it wrote."""
        return self._log_file.read_text("utf-8")
