"""Ingest as a process of its own, to be measured and to be killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from devstack import Servers, free_ports


class IngestProcess:
    """A running process and its port."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @property
    def peak_bytes(self) -> int:
        """The most memory that it has held so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    @property
    def resident_bytes(self) -> int:
        """The memory that it holds now."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(45):
            return await self._process.wait()


@asynccontextmanager
async def ingest_process(servers: Servers, log_file: Path) -> AsyncIterator[IngestProcess]:
    """Start it, wait until it answers, and see to its end."""
    port = free_ports(1)[0]
    environment = os.environ | servers.environment() | {"BATCHYARD_HTTP_PORT": str(port)}
    with log_file.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.ingest", env=environment, stdout=log, stderr=log
        )
    running = IngestProcess(process, port)
    try:
        async with asyncio.timeout(45):
            while not await _answers(port):
                assert process.returncode is None, f"ingest ended early: see {log_file}"
                await asyncio.sleep(0.05)  # a port does not tell when it opens
        yield running
    finally:
        await running.end(signal.SIGKILL)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
