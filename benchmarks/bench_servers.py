"""Servers on which Batchyard and its peers are measured: each has a virtual host and databases of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack import Servers, Stack, default_home


@dataclass(frozen=True, slots=True)
class BenchServers:
    """Running servers, with their home."""

    home: Path
    stack: Stack
    servers: Servers
    echo: Callable[[str], None]

    async def create_isolated(self, name: str) -> Servers:
        """Create an empty virtual host, database and Redis database."""
        return await self.stack.create_isolated(name)


@asynccontextmanager
async def running_bench_servers(echo: Callable[[str], None]) -> AsyncIterator[BenchServers]:
    """Find or start the servers, and release them at the end. Raises `StackError`."""
    home = default_home()
    stack = Stack(home, echo)
    try:
        servers = await stack.start()
        yield BenchServers(home, stack, servers, echo)
    finally:
        await stack.release()
