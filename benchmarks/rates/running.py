"""Starts a simulated destination as a process of its own, and reads its recorded calls."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from devstack import StackError

_PROJECT = Path(__file__).parents[2]
_STARTS_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class CallLog:
    """Recorded calls of one partition of a destination."""

    began: float
    """Time of its first call, by `time.monotonic`."""
    calls: list[tuple[float, float | None]]
    """Arrival of each call in seconds since the first, and the duration of its answer; None if it was refused."""
    late_s: float
    """The longest delay, in seconds, with which the destination read its clock."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A running destination."""

    url: str
    http: aiohttp.ClientSession

    async def call_log(self, partition: str = "") -> CallLog:
        """Return all calls of a partition so far."""
        async with self.http.get(f"{self.url}/calls/{partition}".rstrip("/")) as answer:
            answer.raise_for_status()
            recorded = await answer.json()
        return CallLog(recorded["began"] or 0.0, [(at, took) for at, took in recorded["calls"]], recorded["late_s"])


@asynccontextmanager
async def running_destination(*schedule: str) -> AsyncIterator[Destination]:
    """Start one; `schedule` as `benchmarks.rates.destination` takes it. Raises `StackError`."""
    argv = [sys.executable, "-m", "benchmarks.rates.destination", *schedule]
    process = await asyncio.create_subprocess_exec(*argv, cwd=_PROJECT, stdout=PIPE, start_new_session=True)
    try:
        async with asyncio.timeout(_STARTS_WITHIN_S):
            line = await process.stdout.readline() if process.stdout else b""
        if not line:
            raise StackError("The simulated destination did not start. What it wrote stands above.")
        async with aiohttp.ClientSession() as http:
            yield Destination(json.loads(line)["url"], http)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
