"""Local cluster: the three servers, and the five services as processes of this machine."""

import asyncio
import os
import secrets
import shlex
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from devstack import Program, ProgramFailed, Servers, Stack, StackError, Supervisor, free_ports
from devstack.passwords import LEASE_KEY, passwords_of
from devstack.ports import is_free
from services.cli.client.address import Address
from services.cli.client.cluster_file import RunningCluster, published
from services.cli.client.http_client import open_client
from services.cli.client.local_keys import LOCAL_OWNER, operator_key, owner_key, write_secret
from services.cli.client.variables import HOME, LOCAL_SERVERS, OPERATOR_KEY, TOKEN, URL
from services.cli.errors import BadInput
from shared.runtime import exit_codes

SERVICES = ("ingest", "dispatcher", "worker", "aggregator", "notifier")
_USUAL_PORT = 8000
_READY_WITHIN = 60.0
_AMQP_VARIABLE = "BATCHYARD_AMQP_URL"
_RESULTS_VARIABLE = "BATCHYARD_RESULTS_STORE"
_PUBLIC_URL_VARIABLE = "BATCHYARD_PUBLIC_URL"
_SECRET_VARIABLE = "BATCHYARD_WEBHOOK_SECRET"  # noqa: S105  # the name of a variable
_LEASE_KEYS_VARIABLE = "BATCHYARD_LEASE_KEYS"
_BELIEVE_REPORTS = frozenset({"dispatcher", "aggregator"})
"""Services that read reports of workers."""
_KEY_ENVIRONMENT_VARIABLE = "BATCHYARD_KEY_ENVIRONMENT"
_PORT_ATTEMPTS = 3
_FINAL_CODES = frozenset({exit_codes.CONFIGURATION, exit_codes.PORT_TAKEN})


@dataclass(frozen=True)
class Plan:
    """Plan of a local cluster."""

    home: Path
    """Folder of data, logs, state and address."""
    workers: int = 1
    http_port: int | None = None
    """Port of the HTTP API; None: 8000, or a free one if that is taken."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Additional variables for every service."""
    accounts: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """Variables of each service with the addresses of its accounts; one that is missing gets those of the servers."""


@dataclass(frozen=True)
class LocalCluster:
    """Running local cluster: the address of its HTTP API, those of its servers, and that of RabbitMQ for clients."""

    url: str
    servers: Servers
    amqp_url: str = field(repr=False)
    """With the account of the owner `default`."""
    token: str = field(repr=False)
    """API key of the owner `default`, whose batches those are that are submitted over AMQP."""


@asynccontextmanager
async def local_cluster(plan: Plan, echo: Callable[[str], None]) -> AsyncIterator[LocalCluster]:
    """Start servers and services, wait until batches can be submitted, and stop all at the end, in reverse order.

    Raises `StackError` with advice if a server or a service cannot be started.
    """
    environment = environment_without_servers()
    supervisor = Supervisor(plan.home, echo)
    await supervisor.start()  # no program yet: it claims the folder, before anything of another cluster is touched
    stack = Stack(plan.home, echo, environment=environment)
    try:
        if plan.http_port is not None and not is_free(plan.http_port):
            raise StackError(f"Port {plan.http_port} is taken. Give another --port, or leave it out.")
        servers = await stack.start()
        accounts = with_lease_keys(plan.home, await stack.create_accounts(servers, [LOCAL_OWNER]))
        keys = {OPERATOR_KEY.name: operator_key(plan.home, echo)}
        variables = {**keys, _KEY_ENVIRONMENT_VARIABLE: "local", **plan.environment}
        plan = replace(plan, environment=variables, accounts=accounts)
        url = f"http://127.0.0.1:{await _start_services(supervisor, plan, servers)}"
        operator = Address(url, keys[OPERATOR_KEY.name])
        keys[TOKEN.name] = await owner_key(plan.home, operator, echo)
        await _wait_for_workloads(operator)
        clients = _client_environment(plan.home, url, accounts[LOCAL_OWNER], environment) | keys
        with published(plan.home, RunningCluster(url, clients, accounts)):
            yield LocalCluster(url, servers, accounts[LOCAL_OWNER][_AMQP_VARIABLE], keys[TOKEN.name])
    finally:
        try:
            await supervisor.stop()
        finally:
            await stack.release()


async def _start_services(supervisor: Supervisor, plan: Plan, servers: Servers) -> int:
    """Start the services and return the port of the HTTP API. When another program has taken a port that was free a
    moment ago, all begin again with others."""
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        port = plan.http_port or _http_port()
        try:
            await supervisor.start(*programs(plan, servers, port))
            return port
        except ProgramFailed as error:
            if error.final_code != exit_codes.PORT_TAKEN or attempt == _PORT_ATTEMPTS:
                raise
            await supervisor.stop()
    raise AssertionError


def environment_without_servers() -> dict[str, str]:
    """Return the environment without the addresses of a local cluster that `batchyard env` printed for clients."""
    own = shlex.split(os.environ.get(LOCAL_SERVERS.name, ""))
    return {name: value for name, value in os.environ.items() if value not in own}


def _client_environment(
    home: Path, url: str, account: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables by which clients of this machine reach the cluster."""
    address = account[_AMQP_VARIABLE]
    own = [] if _AMQP_VARIABLE in environment else [address]
    return {
        URL.name: url,
        _AMQP_VARIABLE: address,
        _SECRET_VARIABLE: webhook_secret(home),
        LOCAL_SERVERS.name: shlex.join(own),
    }


def programs(plan: Plan, servers: Servers, http_port: int) -> list[Program]:
    """Return the five services, each with its own health port, and as many workers as planned."""
    names = [name for name in SERVICES if name != "worker"]
    names += [f"worker-{number}" if plan.workers > 1 else "worker" for number in range(1, plan.workers + 1)]
    files = {HOME.name: str(plan.home.absolute())}
    public_url = {_PUBLIC_URL_VARIABLE: os.environ.get(_PUBLIC_URL_VARIABLE) or f"http://127.0.0.1:{http_port}"}
    results = {_RESULTS_VARIABLE: os.environ.get(_RESULTS_VARIABLE) or str(plan.home.absolute() / "results")}
    own = {_SECRET_VARIABLE: webhook_secret(plan.home), "BATCHYARD_ANONYMOUS_OWNER": LOCAL_OWNER, **results}
    common = {**own, **public_url, **files, **plan.environment}
    ports = [port for port in free_ports(len(names) + 1) if port != http_port]  # that one is taken, if not yet bound
    addresses = {name: plan.accounts.get(name) or servers.environment() for name in SERVICES}
    return [
        _program(name, port, {**addresses[name.partition("-")[0]], **common}, http_port)
        for name, port in zip(names, ports, strict=False)
    ]


def with_lease_keys(home: Path, accounts: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return the variables of the accounts, with the key that proves to dispatcher and aggregator that a worker has
    received the chunk that it reports on: that of the environment, else one that is created once and stored."""
    keys = {_LEASE_KEYS_VARIABLE: os.environ.get(_LEASE_KEYS_VARIABLE) or passwords_of(home, [LEASE_KEY])[LEASE_KEY]}
    return {name: {**found, **(keys if name in _BELIEVE_REPORTS else {})} for name, found in accounts.items()}


def webhook_secret(home: Path) -> str:
    """Return the key that signs webhooks: that of the environment, else one that is created once and stored."""
    if secret := os.environ.get(_SECRET_VARIABLE):
        return secret
    file = home / "webhook-secret"
    if not file.exists():
        write_secret(file, f"whsec_{b64encode(secrets.token_bytes(32)).decode()}")
    return file.read_text("ascii").strip()


async def _wait_for_workloads(address: Address) -> None:
    """Wait until ingest knows the workloads: the message of a worker reaches it a moment after both are ready."""
    try:
        async with asyncio.timeout(_READY_WITHIN), open_client(address) as client:
            while True:
                if msgspec.json.decode(await client.get("/workloads"))["workloads"]:
                    return
                await asyncio.sleep(0.05)  # HTTP has no way to be told
    except TimeoutError as error:
        raise StackError(f"No worker announced a workload within {_READY_WITHIN:.0f} s. Look into its log.") from error


def _program(name: str, health_port: int, environment: Mapping[str, str], http_port: int) -> Program:
    service = name.partition("-")[0]
    env = {**environment, "BATCHYARD_HEALTH_HOST": "127.0.0.1", "BATCHYARD_HEALTH_PORT": str(health_port)}
    if service == "ingest":
        env |= {"BATCHYARD_HTTP_HOST": "127.0.0.1", "BATCHYARD_HTTP_PORT": str(http_port)}
    ready = f"http://127.0.0.1:{health_port}/readyz"
    argv = (sys.executable, "-m", f"services.{service}")
    return Program(name, argv, env, ready, _READY_WITHIN, final_codes=_FINAL_CODES)


def _http_port() -> int:
    if named := os.environ.get("BATCHYARD_HTTP_PORT"):
        if not named.isdecimal() or not 0 < int(named) < 65_536:
            raise BadInput(f"BATCHYARD_HTTP_PORT={named!r} is no port.", "Give a number from 1 to 65535.")
        return int(named)
    return _USUAL_PORT if is_free(_USUAL_PORT) else free_ports(1)[0]
