"""Stops, from any shell, all that runs for a home: the supervisor, its programs, the servers."""

import asyncio
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from devstack.postgres import temporary_base
from devstack.private import mark_of
from devstack.processes import end, marked, tree
from devstack.stack import Stack
from devstack.state import State
from devstack.supervisor import GRACE

_SUPERVISOR_GRACE = 3 * GRACE
"""It stops its programs within their grace, then perhaps the servers."""


async def shut_down(home: Path, echo: Callable[[str], None]) -> None:
    """Stop everything and return when no process is left. Homes right below this one are stopped too."""
    homes = _homes(home)
    for each in homes:
        await _stop_programs(each, echo)
    await asyncio.gather(*(Stack(each, echo).stop() for each in homes))


async def erase(home: Path, echo: Callable[[str], None]) -> None:
    """Stop everything and delete the home with all data of the servers."""
    await shut_down(home, echo)
    await asyncio.to_thread(_delete, home)


def _delete(home: Path) -> None:
    for folder in (home.resolve(), temporary_base(home.resolve())):
        if folder.exists():
            shutil.rmtree(folder)


def _homes(home: Path) -> list[Path]:
    outer = home.resolve()
    return [*(file.parent for file in outer.glob("*/run.json")), outer]


async def _stop_programs(home: Path, echo: Callable[[str], None]) -> None:
    state = State(home)
    document = state.read()
    if document.supervisor and (supervisor := document.supervisor.find()):
        echo(f"Stopping process {supervisor.pid} and its programs")
        await end([supervisor], signal.SIGTERM, _SUPERVISOR_GRACE)
    known = [identity.find() for identity in document.programs.values()]
    strays = [process for name in document.programs for process in marked(mark_of(name, home))]
    await end(tree([*filter(None, known), *strays]), signal.SIGTERM, GRACE)
    with state.change() as fresh:
        fresh.supervisor, fresh.programs = None, {}
