"""Leases of the active one of two dispatchers under full load: none may end by itself."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from rich.console import Console

from benchmarks import batchyard, machine
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import Cluster, running_cluster
from benchmarks.processes import CLIENT, Usage
from benchmarks.report import keep
from benchmarks.summary import Summary
from benchmarks.work import TEN, WrongResults
from devstack import Program, Supervisor, free_ports

_STREAMS = 4
"""Batches of 10,000 items that run at once."""
_INTERVAL_S = 0.05
_END_S = 900.0
_LEFT = "SELECT number, extract(epoch FROM expires_at - clock_timestamp())::float8 AS left_s FROM dispatcher.tenure"


@dataclass(slots=True)
class Leases:
    """Epochs that were seen, and the seconds that were left of the lease at each look."""

    epochs: set[int] = field(default_factory=set)
    left_s: list[float] = field(default_factory=list)


async def leadership(bench: BenchServers, console: Console, minutes: float) -> dict[str, Any]:
    """Measure, print, and write `leadership.json`."""
    async with running_cluster(bench, {}) as cluster, _second_dispatcher(bench, cluster):
        usage, began, leases = Usage(cluster.everything), time.monotonic(), Leases()
        looking = asyncio.create_task(_look(cluster, leases))
        until = began + 60 * minutes
        batches = sum(await asyncio.gather(*(_submit(cluster, until) for _ in range(_STREAMS))))
        looking.cancel()
        await asyncio.wait((looking,))
        if not looking.cancelled():
            looking.result()
        seconds = time.monotonic() - began
        used = {role: used_s for role, used_s in usage.cpu_s().items() if role != CLIENT}
        document = {
            "machine": await machine.described(bench.servers),
            "minutes": round(seconds / 60, 2),
            "items": batches * TEN.items,
            "takeovers": len(leases.epochs) - 1,
            "left_s": Summary.of(leases.left_s).document(),
            "processors": round(sum(used.values()) / seconds, 2),
            "others_share": usage.others_share(),
        }
    console.print(document)
    console.print(f"Kept in {keep('leadership', document)}")
    return document


@asynccontextmanager
async def _second_dispatcher(bench: BenchServers, cluster: Cluster) -> AsyncIterator[None]:
    (port,) = free_ports(1)
    environment = {**cluster.servers.environment(), "BATCHYARD_HEALTH_PORT": str(port)}
    command = (sys.executable, "-m", "services.dispatcher")
    supervisor = Supervisor(bench.home / "standby", bench.echo)
    try:
        await supervisor.start(Program("dispatcher-2", command, environment, f"http://127.0.0.1:{port}/readyz"))
        yield
    finally:
        await supervisor.stop()


async def _submit(cluster: Cluster, until: float) -> int:
    """Run batches one after the other; return their number."""
    count = 0
    while time.monotonic() < until:
        finish = await cluster.finishes.of(await batchyard.submit(cluster, TEN), _END_S)
        if finish.event.counts.succeeded != TEN.items:
            raise WrongResults(f"{TEN.items} items have to succeed, {finish.event.counts.succeeded} did.")
        count += 1
    return count


async def _look(cluster: Cluster, leases: Leases) -> None:
    connection = await asyncpg.connect(cluster.servers.database_url)
    try:
        while True:
            for number, left_s in await connection.fetch(_LEFT):
                leases.epochs.add(number)
                leases.left_s.append(left_s)
            await asyncio.sleep(_INTERVAL_S)
    finally:
        await connection.close()
