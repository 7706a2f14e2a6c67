"""Runs the command `batchyard` as a process of its own."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WITHIN_S = 120.0
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """Result of one run of the command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Command:
    """The command with the environment variables that it gets beside those of this process."""

    environment: Mapping[str, str]
    folder: Path = PROJECT

    async def __call__(self, *argv: str, stdin: bytes = b"") -> Ended:
        """Run the command to its end."""
        argv = (sys.executable, "-m", "services.cli", *argv)
        environment = {**os.environ, "COLUMNS": "200", **self.environment}
        process = await asyncio.create_subprocess_exec(
            *argv, env=environment, cwd=self.folder, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                out, err = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Ended(process.returncode or 0, out.decode(), err.decode())
