"""Servers from Docker: the services of the project's compose file."""

import json
import os
from pathlib import Path
from signal import Signals
from typing import Any
from urllib.parse import quote

from devstack.component import COMPONENTS, Name
from devstack.errors import ServerUnavailable, StackError
from devstack.launch import Launch, run
from devstack.server_check import wait_for_server
from devstack.state import ServerRecord, StackState

_PROBE_WITHIN = 4.0
_PULL_WITHIN = 600.0
_READY_WITHIN = 120.0
_TARGET_PORTS = {"rabbitmq": 5672, "postgres": 5432, "redis": 6379}


async def engine_answers(program: str = "docker") -> bool:
    """Tell whether a Docker engine answers; the client alone is not enough."""
    try:
        await _docker(Path.cwd(), program, "info", within=_PROBE_WITHIN)
    except (OSError, StackError):
        return False
    return True


class ComposeServer:
    """Service of the compose file, named like its component."""

    def __init__(self, name: Name, compose_file: Path, state: StackState) -> None:
        self._name = name
        self._file = compose_file
        self._state = state

    async def start(self) -> str:
        """Create or start the container, and wait until its server answers."""
        if not self._file.exists():
            raise ServerUnavailable(f"A Docker engine answers, but {self._file} does not exist. Run from a checkout.")
        await self._compose("up", "--detach", self._name, within=_PULL_WITHIN)
        with self._state.change() as document:
            document.servers[self._name] = ServerRecord(how="docker")
        url = address(self._name, json.loads(await self._compose("config", "--format", "json")))
        try:
            await wait_for_server(self._name, url, _READY_WITHIN, lambda: True)
        except ServerUnavailable as error:
            advice = f"See: docker compose logs {self._name}"
            raise ServerUnavailable(f"{COMPONENTS[self._name].title} in Docker: {error}. {advice}") from error
        return url

    async def stop(self) -> None:
        """Stop and remove the container; its volume stays."""
        record = self._state.read().servers.get(self._name)
        if record is None or record.how != "docker":
            return
        await self._compose("rm", "--stop", "--force", self._name)
        with self._state.change() as document:
            document.servers.pop(self._name, None)

    async def kill(self, number: Signals) -> None:
        """Send a signal to the container's first process."""
        await self._compose("kill", "--signal", number.name, self._name)

    async def create_vhost(self, name: str) -> str | None:
        """Create a virtual host with the container's own tool; None if the server is not RabbitMQ."""
        if self._name != "rabbitmq":
            return None
        config = json.loads(await self._compose("config", "--format", "json"))
        account = _environment(config, "rabbitmq").get("RABBITMQ_DEFAULT_USER", "guest")
        tool = ("exec", "-T", "rabbitmq", "rabbitmqctl")
        if name in (await self._compose(*tool, "list_vhosts", "--silent")).split():
            await self._compose(*tool, "delete_vhost", name)
        await self._compose(*tool, "add_vhost", name)
        await self._compose(*tool, "set_permissions", "--vhost", name, account, ".*", ".*", ".*")
        return address("rabbitmq", config, path=name)

    async def purge_vhost(self, name: str) -> bool:
        """Return False: the tool in the container takes a second for each queue, AMQP a moment."""
        return False

    async def import_definitions(self, file: Path) -> bool:
        """Return False: the container does not see the file."""
        return False

    async def drop_vhost(self, name: str) -> None:
        """Delete a virtual host with the container's own tool, if it is there."""
        tool = ("exec", "-T", "rabbitmq", "rabbitmqctl")
        if self._name == "rabbitmq" and name in (await self._compose(*tool, "list_vhosts", "--silent")).split():
            await self._compose(*tool, "delete_vhost", name)

    async def _compose(self, *argv: str, within: float = 120) -> str:
        return await _docker(self._file.parent, "docker", "compose", "--file", str(self._file), *argv, within=within)


def address(name: Name, config: dict[str, Any], path: str | None = None) -> str:
    """Derive a service's address from what `docker compose config` prints: published port, account, database."""
    published = [port for port in config["services"][name].get("ports", []) if port["target"] == _TARGET_PORTS[name]]
    if not published:
        raise StackError(f"The compose file does not publish port {_TARGET_PORTS[name]} of {name}. Add it under ports.")
    env = {key: quote(value, safe="") for key, value in _environment(config, name).items()}
    host = f"127.0.0.1:{published[0]['published']}"
    if name == "rabbitmq":
        user = env.get("RABBITMQ_DEFAULT_USER", "guest")
        return f"amqp://{user}:{env.get('RABBITMQ_DEFAULT_PASS', 'guest')}@{host}/{path or ''}"
    if name == "postgres":
        user = env.get("POSTGRES_USER", "postgres")
        return f"postgresql://{user}:{env.get('POSTGRES_PASSWORD', '')}@{host}/{path or env.get('POSTGRES_DB', user)}"
    password = f":{env['REDISCLI_AUTH']}@" if env.get("REDISCLI_AUTH") else ""
    return f"redis://{password}{host}/{path or 0}"


def _environment(config: dict[str, Any], name: Name) -> dict[str, str]:
    return {key: value or "" for key, value in (config["services"][name].get("environment") or {}).items()}


async def _docker(folder: Path, *argv: str, within: float) -> str:
    return await run(Launch(argv, dict(os.environ), folder, folder / "docker.log"), within=within)
