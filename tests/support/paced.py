"""The services with the workload `calling`, and destinations for it as processes of their own."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from shared.stack import Servers
from tests.support.yard import Yard, running_yard

PLUGIN = Path(__file__).parent / "calling"


@dataclass(frozen=True, slots=True)
class Destination:
    """A destination that runs."""

    url: str
    http: aiohttp.ClientSession

    async def begin(self) -> None:
        """Start its schedule."""
        async with self.http.post(f"{self.url}/begin") as answer:
            answer.raise_for_status()

    async def calls(self) -> tuple[list[tuple[float, bool]], float]:
        """When each call came, by its own clock, and if it was taken; and how late that clock was read at worst."""
        async with self.http.get(f"{self.url}/calls") as answer:
            told = await answer.json()
        return [(at, taken) for at, taken in told["calls"]], told["late_s"]


@asynccontextmanager
async def running_destination(*schedule: str) -> AsyncIterator[Destination]:
    """Start one; `schedule` as `tests.support.paced_destination` takes it."""
    argv = [sys.executable, "-m", "tests.support.paced_destination", *schedule]
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, start_new_session=True)
    try:
        if process.stdout is None:
            raise AssertionError
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
        async with aiohttp.ClientSession() as http:
            yield Destination(json.loads(line)["url"], http)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


@asynccontextmanager
async def paced_yard(servers: Servers, workers: int = 2, **limits: Any) -> AsyncIterator[Yard]:
    """The five services with so many workers, and `calling` under these limits."""
    environment = {"PYTHONPATH": str(PLUGIN), "CALLING": json.dumps(limits)}
    async with running_yard(servers, environment, workers=workers, known=("noop", "calling")) as yard:
        yield yard


def most_within(times: list[float], seconds: float) -> int:
    """The most of these moments that lie within any such time."""
    ordered, most, first = sorted(times), 0, 0
    for last, at in enumerate(ordered):
        while at - ordered[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
