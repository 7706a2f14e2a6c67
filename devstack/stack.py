"""The local stack: RabbitMQ, PostgreSQL and Redis for one project, by whichever means this machine has."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from devstack.accounts import create_accounts
from devstack.choice import Choice, choose
from devstack.component import COMPONENTS, Name
from devstack.docker import ComposeServer
from devstack.errors import ServerUnavailable, StackError
from devstack.isolation import (
    check_isolated_name,
    create_database,
    create_redis_database,
    drop_database,
    release_redis_database,
)
from devstack.machine import Machine
from devstack.postgres import PostgreSQL
from devstack.private import PrivateServer, process_mark
from devstack.processes import ProcessIdentity
from devstack.rabbitmq import RabbitMQ
from devstack.redis import Redis
from devstack.server import ExternalServer, Server
from devstack.servers import Servers, without_credentials
from devstack.state import StackState

PROJECT = Path(__file__).resolve().parents[1]


def default_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the data folder of this checkout's stack: BATCHYARD_HOME, else `.batchyard` in the project."""
    return Path(environment.get("BATCHYARD_HOME") or PROJECT / ".batchyard").resolve()


class Stack:
    """The three servers of one home. Several processes may use one home: the last one to release it stops them."""

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
        self._state = StackState(self._home)
        self._servers: dict[Name, Server] = {}
        self._choices: dict[Name, Choice] = {}
        self._urls: dict[Name, str] = {}

    async def start(self) -> Servers:
        """Find or start the three servers concurrently, and report the source of each in one line.

        Raises ServerUnavailable, and stops the servers that it started, if one is not available.
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
            self._add_user()
        return Servers.of(self._urls)

    async def release(self) -> None:
        """Stop the servers, unless another running process uses them."""
        async with self._state.exclusive():
            others = self._others()
            with self._state.change() as document:
                document.users = others
            if not others:
                await self._stop_all()

    async def stop(self) -> None:
        """Stop all servers of this home, even if other processes use them; leave no process behind."""
        async with self._state.exclusive():
            await self._stop_all()
            with self._state.change() as document:
                document.users = []

    async def kill(self, name: Name, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one server, to simulate a fault; if it ends the server, return after the end."""
        await self._started(name).kill(number)

    async def restart(self, name: Name) -> None:
        """Restart one server with the same address and data."""
        server = self._started(name)
        await server.stop()
        self._urls[name] = await server.start()

    async def create_isolated(self, name: str) -> Servers:
        """Create an empty virtual host, database and Redis database of this name, and return their addresses.

        An external server on which they cannot be created is used without isolation.
        """
        check_isolated_name(name)
        vhost, database, numbered = await asyncio.gather(
            self._started("rabbitmq").create_vhost(name),
            create_database(self._urls["postgres"], name),
            self._isolated_redis(name),
        )
        isolated: dict[Name, str | None] = {"rabbitmq": vhost, "postgres": database, "redis": numbered}
        return Servers.of({part: url or self._urls[part] for part, url in isolated.items()})

    async def purge(self, name: str) -> bool:
        """Delete the messages in the virtual host of this name; False where only AMQP can do that."""
        check_isolated_name(name)
        return await self._started("rabbitmq").purge_vhost(name)

    async def create_accounts(self, servers: Servers, owners: Sequence[str] = ()) -> dict[str, dict[str, str]]:
        """Create a user with the least rights for each service and each owner, and return their variables by name.

        `servers`: all, or those of an isolated name. On a server that runs elsewhere or in a container nobody is
        created, and all have its own address.
        """
        async with self._state.exclusive():
            return await create_accounts(self._home, self._servers, servers, owners)

    async def import_definitions(self, file: Path) -> bool:
        """Import exchanges, queues, users and rights into RabbitMQ; False where only its own machine can do that."""
        return await self._started("rabbitmq").import_definitions(file)

    async def drop_isolated(self, name: str) -> None:
        """Delete what `create_isolated` created under this name, with its content."""
        check_isolated_name(name)
        await asyncio.gather(
            self._started("rabbitmq").drop_vhost(name),
            drop_database(self._urls["postgres"], name),
            release_redis_database(self._urls["redis"], name, self._state),
        )

    def isolated_names(self) -> list[str]:
        """Return the names that `create_isolated` has used and `drop_isolated` has not; none with an external Redis."""
        return list(self._state.read().redis_numbers)

    async def _start(self, name: Name) -> None:
        server, choice = self._servers[name], self._choices[name]
        url = self._urls[name] = await server.start()
        source = {
            "given": f"given by {choice.component.variable}",
            "docker": "from the Docker engine",
            "program": f"private, {choice.program}",
            "package": f"private, {choice.program}",
        }[choice.source]
        if isinstance(server, PrivateServer) and server.reused:
            source = "private, already running"
        self._echo(f"{choice.component.title}: {source}, at {without_credentials(url)}")

    async def _choose(self) -> dict[Name, Choice]:
        choices = await choose(COMPONENTS, self._environment, self._machine)
        missing = [choice.component for choice in choices.values() if choice.source == "package"]
        if not missing:
            return choices
        self._echo(f"Installing Debian packages: {', '.join(component.package for component in missing)}")
        await self._machine.packages.install(missing)
        for component in missing:
            program = self._machine.program(component.name)
            if program is None:
                raise ServerUnavailable(f"{component.package} is installed, but its program was not found.")
            choices[component.name] = Choice(component, "package", program=program)
        return choices

    def _server(self, choice: Choice) -> Server:
        name = choice.component.name
        if choice.url is not None:
            return ExternalServer(choice.component, choice.url)
        if choice.program is None:
            return ComposeServer(name, PROJECT / "docker-compose.yml", self._state)
        return self._private(name, choice.program)

    def _private(self, name: Name, program: Path) -> PrivateServer:
        mark = process_mark(name, self._home)
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
        if isinstance(self._started("redis"), ExternalServer):
            return None
        return await create_redis_database(self._urls["redis"], name, self._state)

    async def _stop_all(self) -> None:
        """Stop the servers of this home, started by this process or an earlier one."""
        servers: list[Server] = [self._private(name, Path("/nonexistent")) for name in COMPONENTS]
        servers += [ComposeServer(name, PROJECT / "docker-compose.yml", self._state) for name in COMPONENTS]
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(server.stop())

    def _others(self) -> list[ProcessIdentity]:
        return [user for user in self._state.read().users if user.pid != os.getpid() and user.find()]

    def _add_user(self) -> None:
        with self._state.change() as document:
            document.users = [*self._others(), ProcessIdentity.of(psutil.Process())]


def _first_of(error: BaseException) -> BaseException:
    return _first_of(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
