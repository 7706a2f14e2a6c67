"""Runs ingest as a process of its own, so that it can be measured and killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from devstack import Servers, free_ports
from tests.support.patience import PATIENCE_S


class IngestProcess:
    """Running process and its port."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @property
    def peak_bytes(self) -> int:
        """Peak memory of the process so far, in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    @property
    def resident_bytes(self) -> int:
        """Current memory of the process, in bytes."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    async def end(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end and return the exit code."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(PATIENCE_S):
            return await self._process.wait()


@asynccontextmanager
async def ingest_process(servers: Servers, log_file: Path) -> AsyncIterator[IngestProcess]:
    """Start the process, wait until it answers, and end it afterwards."""
    port = free_ports(1)[0]
    environment = os.environ | servers.environment() | {"BATCHYARD_HTTP_PORT": str(port)}
    with log_file.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.ingest", env=environment, stdout=log, stderr=log
        )
    running = IngestProcess(process, port)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await _is_listening(port):
                assert process.returncode is None, f"ingest ended early: see {log_file}"
                await asyncio.sleep(0.05)  # a port has no signal for its opening
        yield running
    finally:
        await running.end(signal.SIGKILL)


async def _is_listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
