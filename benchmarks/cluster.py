"""The measured Batchyard: five services as processes of their own on empty servers, with clients to them."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from batchyard_contracts.client import Client
from benchmarks.bench_servers import BenchServers
from benchmarks.finishes import Finishes, subscribed_finishes
from benchmarks.processes import CLIENT, servers_of
from devstack import Servers, StackError, Supervisor, free_ports
from services.cli.client.local_keys import LOCAL_OWNER
from services.cli.local_cluster import SERVICES, Plan, programs

STAMPED = Path(__file__).parent / "stamped"
CALLING = Path(__file__).parent / "calling"
PLUGINS = os.pathsep.join(map(str, (STAMPED, CALLING)))
"""Folder in which a worker finds the workloads of the benchmarks."""
_WORKLOADS = {"noop", "stamped", "calling", "tracklists"}
_KNOWN_WITHIN_S = 30.0
_NAME = "bench"
_TIMEOUT = aiohttp.ClientTimeout(total=900)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The parts of a running cluster that a measurement may use."""

    servers: Servers
    client: Client
    url: str
    """Address of the HTTP API, which ends in `/api/v1/`."""
    http: aiohttp.ClientSession
    """Relative to `/api/v1/`."""
    finishes: Finishes
    services: Mapping[str, list[psutil.Process]]
    everything: Mapping[str, list[psutil.Process]]
    """The services, the servers, and this process as `client`."""


@asynccontextmanager
async def running_cluster(
    bench: BenchServers, environment: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> AsyncIterator[Cluster]:
    """Start the services with their defaults and the least rights on emptied servers; stop them at the end. Raises
    `StackError`.

    `headers` go with every request over HTTP.
    """
    servers = await bench.create_isolated(_NAME)
    (port,) = free_ports(1)
    home = bench.home / _NAME
    accounts = await bench.stack.create_accounts(servers, [LOCAL_OWNER])
    plan = Plan(home, http_port=port, environment={"PYTHONPATH": PLUGINS, **environment}, accounts=accounts)
    supervisor = Supervisor(home, bench.echo)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(supervisor.stop)
        await supervisor.start(*programs(plan, servers, port))
        url = f"http://127.0.0.1:{port}/api/v1/"
        http = await stack.enter_async_context(aiohttp.ClientSession(url, timeout=_TIMEOUT, headers=headers))
        await _until_workloads_are_known(http)
        client = await stack.enter_async_context(Client.connect(accounts[LOCAL_OWNER]["BATCHYARD_AMQP_URL"]))
        finishes = await stack.enter_async_context(subscribed_finishes(servers.amqp_url))
        services = {name: [_process(supervisor, name)] for name in SERVICES}
        everything = {**services, **servers_of(servers), CLIENT: [psutil.Process()]}
        yield Cluster(servers, client, url, http, finishes, services, everything)


def _process(supervisor: Supervisor, name: str) -> psutil.Process:
    pid = supervisor.pid(name)
    if pid is None:
        raise StackError(f"The service {name} has ended by itself. Look into {supervisor.log(name)}.")
    return psutil.Process(pid)


async def _until_workloads_are_known(http: aiohttp.ClientSession) -> None:
    try:
        async with asyncio.timeout(_KNOWN_WITHIN_S):
            while True:
                async with http.get("workloads") as answer:
                    known = {each["name"] for each in (await answer.json())["workloads"]}
                if known >= _WORKLOADS:
                    return
                await asyncio.sleep(0.05)  # HTTP has no way to be told
    except TimeoutError as error:
        raise StackError(
            f"The worker announced no {', '.join(sorted(_WORKLOADS))} within {_KNOWN_WITHIN_S:.0f} s. See its log."
        ) from error
