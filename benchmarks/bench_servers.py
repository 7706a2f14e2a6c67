"""The servers that everybody is measured on: the same ones for all, each in a corner of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack import Servers, Stack, default_home


@dataclass(frozen=True, slots=True)
class Stand:
    """Servers that run, and where."""

    home: Path
    stack: Stack
    servers: Servers
    echo: Callable[[str], None]

    async def corner(self, name: str) -> Servers:
        """An empty virtual host, database and Redis database."""
        return await self.stack.isolated(name)


@asynccontextmanager
async def standing(echo: Callable[[str], None]) -> AsyncIterator[Stand]:
    """Find or start the servers as every command here does, and release them at the end. Raises `StackError`."""
    home = default_home()
    stack = Stack(home, echo)
    try:
        servers = await stack.start()
        yield Stand(home, stack, servers, echo)
    finally:
        await stack.release()
