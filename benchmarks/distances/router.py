"""Runs the stand-in for OSRM as a process of its own, with a latency and a counter of its calls."""

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
from tests.support.osrm_server import osrm_server

_PROJECT = Path(__file__).parents[2]
_STARTS_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class RunningRouter:
    """A running router."""

    url: str
    http: aiohttp.ClientSession

    async def calls(self) -> int:
        """Count the requests so far."""
        async with self.http.get(f"{self.url}/calls") as answer:
            answer.raise_for_status()
            calls: int = (await answer.json())["calls"]
            return calls

    async def pause(self, seconds: float) -> None:
        """Answer each call so much later from now on."""
        async with self.http.post(f"{self.url}/pause", json=seconds) as answer:
            answer.raise_for_status()


@asynccontextmanager
async def running_router(pause_s: float) -> AsyncIterator[RunningRouter]:
    """Start one that takes so long for each call. Raises `StackError`."""
    argv = [sys.executable, "-m", "benchmarks.distances.router", str(pause_s)]
    process = await asyncio.create_subprocess_exec(*argv, cwd=_PROJECT, stdout=PIPE, start_new_session=True)
    try:
        async with asyncio.timeout(_STARTS_WITHIN_S):
            line = await process.stdout.readline() if process.stdout else b""
        if not line:
            raise StackError("The stand-in for a router did not start. What it wrote stands above.")
        async with aiohttp.ClientSession() as http:
            yield RunningRouter(json.loads(line)["url"], http)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _serve(pause_s: float) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with osrm_server(pause_s=pause_s) as server:
        sys.stdout.write(json.dumps({"url": server.url}) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
