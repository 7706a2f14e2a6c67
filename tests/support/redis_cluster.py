"""A Redis cluster of one node: it refuses calls with keys of several slots, as every cluster does."""

import asyncio
from asyncio.subprocess import Process
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
    port, bus_port = free_ports(2)  # without a port of its own the bus takes port + 10000, which may be above 65535
    log = folder / "redis.log"
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "cluster-enabled": "yes",
        "cluster-port": str(bus_port),
        "dir": str(folder),
        "logfile": str(log),
        "save": "",
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    node = await asyncio.create_subprocess_exec(str(program), *arguments)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        async with asyncio.timeout(PATIENCE_S), Redis.from_url(url) as client:
            await _until_answered(client, "PING", "True", node, log)
            await client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")  # type: ignore[no-untyped-call]
            await _until_answered(client, "CLUSTER INFO", "cluster_state:ok", node, log)
        yield url
    finally:
        with suppress(ProcessLookupError):
            node.terminate()
        await node.wait()


async def _until_answered(client: Redis, command: str, expected: str, node: Process, log: Path) -> None:
    answer = ""
    while expected not in answer:
        assert node.returncode is None, f"redis-server ended, see {log}"
        await asyncio.sleep(0.02)
        with suppress(RedisError):
            answer = str(await client.execute_command(*command.split()))  # type: ignore[no-untyped-call]
