"""Runs the stand-in web site as a process of its own, so that its work is not counted as that of the benchmark."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
_READY_WITHIN_S = 20.0


@asynccontextmanager
async def running_site() -> AsyncIterator[list[str]]:
    """Start it and give its origins."""
    hosts = [part for host in _HOSTS for part in ("--host", host)]
    argv = [sys.executable, "-m", "tests.support.tracklist_site", *hosts]
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, start_new_session=True)
    try:
        if process.stdout is None:
            raise AssertionError
        async with asyncio.timeout(_READY_WITHIN_S):
            line = await process.stdout.readline()
        origins: list[str] = json.loads(line)["origins"]
        yield origins
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
