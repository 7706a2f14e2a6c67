"""A server program that runs for one project alone: started, found again, stopped to its last process."""

import asyncio
import signal
from pathlib import Path

import psutil

from devstack.answers import answers, until_answers
from devstack.component import COMPONENTS
from devstack.errors import ServerUnavailable, StackError
from devstack.launch import detached, tail
from devstack.ports import free_ports, is_free
from devstack.processes import Identity, end, gone, living, marked, send, tree
from devstack.rabbitmq import RabbitMQ
from devstack.recipe import Ports, Recipe
from devstack.state import ServerRecord, State

_READY_WITHIN = 90.0
_STOP_GRACE = 20.0
_ENDING = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})


def mark_of(name: str, home: Path) -> str:
    """Give the mark that the processes of one server carry."""
    return f"{name}@{home}"


class PrivateServer:
    """One server of one home; the recipe knows what kind it is."""

    how = "private"

    def __init__(self, recipe: Recipe, state: State) -> None:
        self._recipe = recipe
        self._state = state
        self._title = COMPONENTS[recipe.name].title
        self._mark = mark_of(recipe.name, state.home)
        self.reused = False

    async def start(self) -> str:
        """Give the address of the running server; start it unless an earlier one still answers."""
        record = self._record()
        if self.main() is not None and await self._answers(self._recipe.url(record.ports)):
            self.reused = True
            return self._recipe.url(record.ports)
        await self.stop()
        ports = self._ports(record.ports)
        launch = await self._recipe.prepare(ports)
        launched = await detached(launch)
        if launched is None:
            raise ServerUnavailable(f"{self._title} did not start.\n{tail(launch.log)}")
        self._remember(ports, [launched])
        try:
            url = self._recipe.first_url(ports)
            await until_answers(self._recipe.name, url, _READY_WITHIN, lambda: living(launched))
            await self._recipe.settle(ports)
        except ServerUnavailable as error:
            report = f"{self._title} did not start: {error}. {launch.log} ends with\n{tail(launch.log)}"
            raise ServerUnavailable(report) from error
        except asyncio.CancelledError:
            # Interrupted: a server that is just starting does not listen to a polite signal until it has started.
            await end(self._family(launched), signal.SIGKILL, 5)
            raise
        main = self._recipe.main(launched)
        self._remember(ports, [main, *(each for each in self._family(main) if each != main)])
        return self._recipe.url(ports)

    async def stop(self) -> None:
        """End the server and all that came with it. Raises StackError if a process survives."""
        record = self._record()
        family = self._family(*filter(None, (known.find() for known in record.processes)))
        if main := self.main():
            await end([main], self._recipe.stop_signal, _STOP_GRACE)
        await end([*family, *self._family()], signal.SIGTERM, 5)
        if record.processes:
            self._remember(record.ports, [])

    async def kill(self, number: signal.Signals) -> None:
        """Signal the server; return when it has ended, if it is a signal that ends it. Its ports stay its own."""
        main = self.main()
        if main is None:
            raise StackError(f"{self._title} does not run.")
        family = tree([main])
        send(main, number)
        if number in _ENDING and (left := await gone(family, _STOP_GRACE)):
            await end(left, signal.SIGKILL, 5)

    def main(self) -> psutil.Process | None:
        """Give the process that is the server, if it lives."""
        processes = self._record().processes
        return processes[0].find() if processes else None

    async def fresh_vhost(self, name: str) -> str | None:
        """Create an empty virtual host and give its address; None where the server is not RabbitMQ."""
        if not isinstance(self._recipe, RabbitMQ):
            return None
        return await self._recipe.fresh_vhost(self._record().ports, name)

    async def _answers(self, url: str) -> bool:
        try:
            await answers(self._recipe.name, url)
        except ServerUnavailable:
            return False
        return True

    def _family(self, *known: psutil.Process) -> list[psutil.Process]:
        return tree([*known, *marked(self._mark, self._recipe.roots, self._recipe.process_names)])

    def _ports(self, known: Ports) -> dict[str, int]:
        names = self._recipe.port_names
        if set(known) == set(names) and all(map(is_free, known.values())):
            return dict(known)
        return dict(zip(names, free_ports(len(names)), strict=True))

    def _record(self) -> ServerRecord:
        record = self._state.read().servers.get(self._recipe.name)
        return record if record and record.how == "private" else ServerRecord(how="private")

    def _remember(self, ports: dict[str, int], processes: list[psutil.Process]) -> None:
        with self._state.change() as document:
            identities = [Identity.of(process) for process in processes if living(process)]
            document.servers[self._recipe.name] = ServerRecord(how="private", ports=ports, processes=identities)
