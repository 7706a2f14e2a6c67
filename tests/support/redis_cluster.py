"""A Redis cluster of one node: it refuses calls with keys of several slots, as every cluster does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from devstack import free_ports
from devstack.programs import ProgramFinder
from tests.support.patience import PATIENCE_S


@asynccontextmanager
async def redis_cluster(folder: Path) -> AsyncIterator[str]:
    """Run the node with all slots, and yield its address."""
    program = ProgramFinder().find("redis")
    assert program is not None, "install redis-server"
    (port,) = free_ports(1)
    options = {"bind": "127.0.0.1", "port": str(port), "dir": str(folder), "save": "", "cluster-enabled": "yes"}
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    silent = asyncio.subprocess.DEVNULL
    node = await asyncio.create_subprocess_exec(str(program), *arguments, stdout=silent, stderr=silent)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        async with asyncio.timeout(PATIENCE_S), Redis.from_url(url) as client:
            await _until_answered(client, "PING", "True")
            await client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")  # type: ignore[no-untyped-call]
            await _until_answered(client, "CLUSTER INFO", "cluster_state:ok")
        yield url
    finally:
        node.terminate()
        await node.wait()


async def _until_answered(client: Redis, command: str, expected: str) -> None:
    answer = ""
    while expected not in answer:
        await asyncio.sleep(0.02)
        with suppress(RedisError):
            answer = str(await client.execute_command(*command.split()))  # type: ignore[no-untyped-call]
