"""Local cluster: three servers, the five services as processes of their own, and one address."""

import asyncio
import os
import secrets
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from devstack import Program, Servers, Stack, StackError, Supervisor, free_ports
from devstack.ports import is_free
from services.cli.client.address import ADDRESS_FILE, Address
from services.cli.client.http_client import open_door
from services.cli.errors import Refused

SERVICES = ("ingest", "dispatcher", "worker", "aggregator", "notifier")
_USUAL_PORT = 8000
_READY_WITHIN = 60.0
_SECRET_VARIABLE = "BATCHYARD_WEBHOOK_SECRET"  # noqa: S105  # the name of a variable
_HOME_VARIABLE = "BATCHYARD_HOME"
"""Folder below which workloads keep their files unless a setting says otherwise."""


@dataclass(frozen=True)
class Plan:
    """Plan of a local cluster."""

    home: Path
    """Folder of everything: data, logs, state, address."""
    workers: int = 1
    http_port: int | None = None
    """None: 8000, or a free one if that is taken."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """More variables for every service."""


@dataclass(frozen=True)
class LocalCluster:
    """Running local cluster: the address of its HTTP API, and those of its servers."""

    url: str
    servers: Servers


@asynccontextmanager
async def local_cluster(plan: Plan, echo: Callable[[str], None]) -> AsyncIterator[LocalCluster]:
    """Start everything, wait until a batch could be submitted, and stop in reverse order what was started.

    Raises `StackError` with what to do when something cannot be had or does not become ready.
    """
    supervisor = Supervisor(plan.home, echo)
    await supervisor.start()  # no program yet: it claims the folder, before anything of another cluster is touched
    stack = Stack(plan.home, echo)
    try:
        servers = await stack.start()
        port = plan.http_port or _http_port()
        url = f"http://127.0.0.1:{port}"
        await supervisor.start(*programs(plan, servers, port))
        await _until_workloads_are_known(url)
        with _published(plan.home / ADDRESS_FILE, url):
            yield LocalCluster(url, servers)
    finally:
        try:
            await supervisor.stop()
        finally:
            await stack.release()


def programs(plan: Plan, servers: Servers, http_port: int) -> list[Program]:
    """The five services, each with its own health port; workers as many as are asked for."""
    names = [name for name in SERVICES if name != "worker"]
    names += [f"worker-{number}" if plan.workers > 1 else "worker" for number in range(1, plan.workers + 1)]
    files = {_HOME_VARIABLE: str(plan.home.absolute())}
    common = {**servers.environment(), _SECRET_VARIABLE: webhook_secret(plan.home), **files, **plan.environment}
    ports = [port for port in free_ports(len(names) + 1) if port != http_port]  # that one is taken, if not yet bound
    return [_program(name, port, common, http_port) for name, port in zip(names, ports, strict=False)]


def webhook_secret(home: Path) -> str:
    """The key that signs webhooks: the given one, else one that is made once and kept, readable for its owner alone."""
    if given := os.environ.get(_SECRET_VARIABLE):
        return given
    file = home / "webhook-secret"
    if not file.exists():
        home.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as target:
            target.write(f"whsec_{b64encode(secrets.token_bytes(32)).decode()}\n")
    return file.read_text("ascii").strip()


@contextmanager
def _published(file: Path, url: str) -> Iterator[None]:
    file.write_text(f"{url}\n", "utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


async def _until_workloads_are_known(url: str) -> None:
    """A worker announces itself by a message, which reaches ingest a moment after both are ready."""
    address = Address(url, os.environ.get("BATCHYARD_TOKEN"))
    try:
        async with asyncio.timeout(_READY_WITHIN), open_door(address) as client:
            while True:
                if orjson.loads(await client.get("/workloads"))["workloads"]:
                    return
                await asyncio.sleep(0.05)  # HTTP has no way to be told
    except TimeoutError as error:
        raise StackError(f"No worker announced a workload within {_READY_WITHIN:.0f} s. Look into its log.") from error
    except Refused:  # tokens are asked for and we have none: whoever has one will see
        return


def _program(name: str, health_port: int, common: Mapping[str, str], http_port: int) -> Program:
    service = name.partition("-")[0]
    env = {**common, "BATCHYARD_HEALTH_HOST": "127.0.0.1", "BATCHYARD_HEALTH_PORT": str(health_port)}
    if service == "ingest":
        env |= {"BATCHYARD_HTTP_HOST": "127.0.0.1", "BATCHYARD_HTTP_PORT": str(http_port)}
    ready = f"http://127.0.0.1:{health_port}/readyz"
    return Program(name, (sys.executable, "-m", f"services.{service}"), env, ready, _READY_WITHIN)


def _http_port() -> int:
    if named := os.environ.get("BATCHYARD_HTTP_PORT"):
        return int(named)
    return _USUAL_PORT if is_free(_USUAL_PORT) else free_ports(1)[0]
