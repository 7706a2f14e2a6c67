"""The local stack: RabbitMQ, PostgreSQL and Redis for one project, however this machine can provide them."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from devstack.choice import Choice, choose
from devstack.component import COMPONENTS, Name
from devstack.docker import ComposeServer
from devstack.errors import ServerUnavailable, StackError
from devstack.isolation import check_name, fresh_database, fresh_redis
from devstack.machine import Machine
from devstack.postgres import PostgreSQL
from devstack.private import PrivateServer, mark_of
from devstack.processes import Identity
from devstack.rabbitmq import RabbitMQ
from devstack.redis import Redis
from devstack.server import GivenServer, Server
from devstack.servers import Servers, shown
from devstack.state import State

PROJECT = Path(__file__).resolve().parents[1]


def default_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Give the folder of this checkout's stack: BATCHYARD_HOME, or `.batchyard` in the project."""
    return Path(environment.get("BATCHYARD_HOME") or PROJECT / ".batchyard").resolve()


class Stack:
    """The three servers of one home. Several processes may use one home: the last to release it stops it."""

    def __init__(
        self,
        home: Path,
        echo: Callable[[str], None],
        *,
        environment: Mapping[str, str] = os.environ,
        machine: Machine | None = None,
    ) -> None:
        self._home = home.resolve()
        self._echo = echo
        self._environment = environment
        self._machine = machine or Machine()
        self._state = State(self._home)
        self._servers: dict[Name, Server] = {}
        self._choices: dict[Name, Choice] = {}
        self._urls: dict[Name, str] = {}

    async def start(self) -> Servers:
        """Find or start the three servers, all at once, and say in a line each where it came from.

        Raises ServerUnavailable, and stops what it had started, if one cannot be had.
        """
        async with self._state.exclusive():
            self._choices = await self._choose()
            self._servers = {name: self._server(choice) for name, choice in self._choices.items()}
            idle = not self._others()
            try:
                async with asyncio.TaskGroup() as group:
                    for name in self._servers:
                        group.create_task(self._start(name))
            except BaseException as error:
                if idle:
                    await self._stop_all()
                if isinstance(error, BaseExceptionGroup):
                    raise _first_of(error) from error
                raise
            self._join()
        return Servers.of(self._urls)

    async def release(self) -> None:
        """Stop the servers, unless another living process uses them too."""
        async with self._state.exclusive():
            others = self._others()
            with self._state.change() as document:
                document.users = others
            if not others:
                await self._stop_all()

    async def stop(self) -> None:
        """Stop every server of this home, whoever uses it; no process is left behind."""
        async with self._state.exclusive():
            await self._stop_all()
            with self._state.change() as document:
                document.users = []

    async def kill(self, name: Name, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal one server that is ours, as a fault would; return when a signal that ends it has done so."""
        await self._started(name).kill(number)

    async def restart(self, name: Name) -> None:
        """Start one server again, at the same address, on the same data; stop it first if it runs."""
        server = self._started(name)
        await server.stop()
        self._urls[name] = await server.start()

    async def isolated(self, name: str) -> Servers:
        """Give an empty virtual host, database and Redis database of this name, on the servers that are started.

        On a server that was given by its address, what cannot be isolated is used as it is.
        """
        check_name(name)
        vhost, database, numbered = await asyncio.gather(
            self._started("rabbitmq").fresh_vhost(name),
            fresh_database(self._urls["postgres"], name),
            self._isolated_redis(name),
        )
        corner: dict[Name, str | None] = {"rabbitmq": vhost, "postgres": database, "redis": numbered}
        return Servers.of({part: url or self._urls[part] for part, url in corner.items()})

    async def _start(self, name: Name) -> None:
        server, choice = self._servers[name], self._choices[name]
        url = self._urls[name] = await server.start()
        source = {
            "given": f"given by {choice.component.variable}",
            "docker": "from the Docker engine",
            "program": f"private, {choice.program}",
            "package": f"private, {choice.program}",
        }[choice.way]
        if isinstance(server, PrivateServer) and server.reused:
            source = "private, already running"
        self._echo(f"{choice.component.title}: {source}, at {shown(url)}")

    async def _choose(self) -> dict[Name, Choice]:
        choices = await choose(COMPONENTS, self._environment, self._machine)
        absent = [choice.component for choice in choices.values() if choice.way == "package"]
        if not absent:
            return choices
        self._echo(f"Installing Debian packages: {', '.join(component.package for component in absent)}")
        await self._machine.packages.install(absent)
        for component in absent:
            program = self._machine.program(component.name)
            if program is None:
                raise ServerUnavailable(f"{component.package} is installed, but its program was not found.")
            choices[component.name] = Choice(component, "package", program=program)
        return choices

    def _server(self, choice: Choice) -> Server:
        name = choice.component.name
        if choice.url is not None:
            return GivenServer(choice.component, choice.url)
        if choice.program is None:
            return ComposeServer(name, PROJECT / "docker-compose.yml", self._state)
        return self._private(name, choice.program)

    def _private(self, name: Name, program: Path) -> PrivateServer:
        mark = mark_of(name, self._home)
        if name == "rabbitmq":
            return PrivateServer(RabbitMQ(self._home, program, mark), self._state)
        if name == "postgres":
            return PrivateServer(PostgreSQL(self._home, program, mark, self._echo), self._state)
        return PrivateServer(Redis(self._home, program, mark), self._state)

    def _started(self, name: Name) -> Server:
        if name not in self._servers:
            raise StackError("The stack was not started by this process. Call start() first.")
        return self._servers[name]

    async def _isolated_redis(self, name: str) -> str | None:
        if isinstance(self._started("redis"), GivenServer):
            return None
        return await fresh_redis(self._urls["redis"], name, self._state)

    async def _stop_all(self) -> None:
        """Stop what this home runs, be it from this process or an earlier one."""
        servers: list[Server] = [self._private(name, Path("/nonexistent")) for name in COMPONENTS]
        servers += [ComposeServer(name, PROJECT / "docker-compose.yml", self._state) for name in COMPONENTS]
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(server.stop())

    def _others(self) -> list[Identity]:
        return [user for user in self._state.read().users if user.pid != os.getpid() and user.find()]

    def _join(self) -> None:
        with self._state.change() as document:
            document.users = [*self._others(), Identity.of(psutil.Process())]


def _first_of(error: BaseException) -> BaseException:
    return _first_of(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
