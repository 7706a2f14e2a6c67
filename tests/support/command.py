"""Runs the command `batchyard`, and other programs, as processes of their own."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.patience import PATIENCE_S

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


async def run_program(
    argv: Sequence[str], environment: Mapping[str, str], folder: Path = PROJECT, stdin: bytes = b""
) -> Ended:
    """Run a program to its end; one that does not end is killed."""
    process = await asyncio.create_subprocess_exec(
        *argv, env=dict(environment), cwd=folder, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            out, err = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode or 0, out.decode(), err.decode())


@dataclass(frozen=True, slots=True)
class Command:
    """The command with the environment variables that it gets beside those of this process."""

    environment: Mapping[str, str]
    folder: Path = PROJECT

    async def __call__(self, *argv: str, stdin: bytes = b"") -> Ended:
        """Run the command to its end."""
        environment = {**os.environ, "COLUMNS": "200", **self.environment}
        return await run_program((sys.executable, "-m", "services.cli", *argv), environment, self.folder, stdin)
