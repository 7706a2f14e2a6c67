"""A server program that runs for one project only: started, found again, stopped with all its processes."""

import asyncio
import signal
from pathlib import Path

import psutil

from devstack.component import COMPONENTS
from devstack.errors import ServerUnavailable, StackError
from devstack.launch import start_detached, tail
from devstack.ports import free_ports, is_free
from devstack.processes import (
    ProcessIdentity,
    find_marked,
    is_running,
    process_tree,
    send_signal,
    terminate,
    wait_until_ended,
)
from devstack.rabbitmq import RabbitMQ
from devstack.recipe import Ports, Recipe
from devstack.server_check import check_server, wait_for_server
from devstack.state import ServerRecord, StackState

_READY_WITHIN = 90.0
_STOP_GRACE = 20.0
_ENDING = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})


def process_mark(name: str, home: Path) -> str:
    """Return the mark of one server's processes."""
    return f"{name}@{home}"


class PrivateServer:
    """One server of one home; its recipe contains the specifics of its kind."""

    how = "private"

    def __init__(self, recipe: Recipe, state: StackState) -> None:
        self._recipe = recipe
        self._state = state
        self._title = COMPONENTS[recipe.name].title
        self._mark = process_mark(recipe.name, state.home)
        self.reused = False

    async def start(self) -> str:
        """Start the server unless an earlier one still answers; return its address."""
        record = self._record()
        if self.main() is not None and await self._is_answering(self._recipe.url(record.ports)):
            self.reused = True
            return self._recipe.url(record.ports)
        await self.stop()
        ports = self._ports(record.ports)
        launch = await self._recipe.prepare(ports)
        launched = await start_detached(launch)
        if launched is None:
            raise ServerUnavailable(f"{self._title} did not start.\n{tail(launch.log)}")
        self._save_record(ports, [launched])
        try:
            url = self._recipe.first_url(ports)
            await wait_for_server(self._recipe.name, url, _READY_WITHIN, lambda: is_running(launched))
            await self._recipe.initialize(ports)
        except ServerUnavailable as error:
            report = f"{self._title} did not start: {error}. {launch.log} ends with\n{tail(launch.log)}"
            raise ServerUnavailable(report) from error
        except asyncio.CancelledError:
            # Interrupted: a server ignores SIGTERM until it has started.
            await terminate(self._process_family(launched), signal.SIGKILL, 5)
            raise
        main = self._recipe.main(launched)
        self._save_record(ports, [main, *(each for each in self._process_family(main) if each != main)])
        return self._recipe.url(ports)

    async def stop(self) -> None:
        """Stop the server and all its processes. Raises StackError if one survives."""
        record = self._record()
        family = self._process_family(*filter(None, (known.find() for known in record.processes)))
        if main := self.main():
            await terminate([main], self._recipe.stop_signal, _STOP_GRACE)
        await terminate([*family, *self._process_family()], signal.SIGTERM, 5)
        if record.processes:
            self._save_record(record.ports, [])

    async def kill(self, number: signal.Signals) -> None:
        """Send a signal to the server; if it ends the server, return after its end. Its ports stay reserved."""
        main = self.main()
        if main is None:
            raise StackError(f"{self._title} does not run.")
        family = process_tree([main])
        send_signal(main, number)
        if number in _ENDING and (left := await wait_until_ended(family, _STOP_GRACE)):
            await terminate(left, signal.SIGKILL, 5)

    def main(self) -> psutil.Process | None:
        """Return the server's main process, if it runs."""
        processes = self._record().processes
        return processes[0].find() if processes else None

    async def create_vhost(self, name: str) -> str | None:
        """Create an empty virtual host and return its address; None if the server is not RabbitMQ."""
        if not isinstance(self._recipe, RabbitMQ):
            return None
        return await self._recipe.create_vhost(self._record().ports, name)

    async def purge_vhost(self, name: str) -> bool:
        """Delete the messages of a virtual host; tell whether that was possible."""
        if not isinstance(self._recipe, RabbitMQ):
            return False
        await self._recipe.purge_vhost(self._record().ports, name)
        return True

    async def import_definitions(self, file: Path) -> bool:
        """Import definitions of RabbitMQ; tell whether that was possible."""
        if not isinstance(self._recipe, RabbitMQ):
            return False
        await self._recipe.import_definitions(self._record().ports, file)
        return True

    async def drop_vhost(self, name: str) -> None:
        """Delete a virtual host; nothing where the server is not RabbitMQ."""
        if isinstance(self._recipe, RabbitMQ):
            await self._recipe.drop_vhost(self._record().ports, name)

    async def _is_answering(self, url: str) -> bool:
        try:
            await check_server(self._recipe.name, url)
        except ServerUnavailable:
            return False
        return True

    def _process_family(self, *known: psutil.Process) -> list[psutil.Process]:
        return process_tree([*known, *find_marked(self._mark, self._recipe.roots, self._recipe.process_names)])

    def _ports(self, known: Ports) -> dict[str, int]:
        names = self._recipe.port_names
        if set(known) == set(names) and all(map(is_free, known.values())):
            return dict(known)
        return dict(zip(names, free_ports(len(names)), strict=True))

    def _record(self) -> ServerRecord:
        record = self._state.read().servers.get(self._recipe.name)
        return record if record and record.how == "private" else ServerRecord(how="private")

    def _save_record(self, ports: dict[str, int], processes: list[psutil.Process]) -> None:
        with self._state.change() as document:
            identities = [ProcessIdentity.of(process) for process in processes if is_running(process)]
            document.servers[self._recipe.name] = ServerRecord(how="private", ports=ports, processes=identities)
