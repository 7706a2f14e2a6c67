"""Stops, from any process, everything that runs for a home: the supervisor, its programs and the servers."""

import asyncio
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from devstack.postgres import temporary_base
from devstack.private import process_mark
from devstack.processes import find_marked, process_tree, terminate
from devstack.stack import Stack
from devstack.state import StackState
from devstack.supervisor import GRACE

_SUPERVISOR_GRACE = 3 * GRACE
"""Longest shutdown of the supervisor, in seconds: it stops its programs, then possibly the servers."""


async def shut_down(home: Path, echo: Callable[[str], None]) -> None:
    """Stop everything and return when no process is left; includes homes right below this one."""
    homes = _homes(home)
    for each in homes:
        await _stop_programs(each, echo)
    await asyncio.gather(*(Stack(each, echo).stop() for each in homes))


async def erase(home: Path, echo: Callable[[str], None]) -> None:
    """Stop everything and delete the home with all data of its servers."""
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
    state = StackState(home)
    document = state.read()
    if document.supervisor and (supervisor := document.supervisor.find()):
        echo(f"Stopping process {supervisor.pid} and its programs")
        await terminate([supervisor], signal.SIGTERM, _SUPERVISOR_GRACE)
    known = [identity.find() for identity in document.programs.values()]
    strays = [process for name in document.programs for process in find_marked(process_mark(name, home))]
    await terminate(process_tree([*filter(None, known), *strays]), signal.SIGTERM, GRACE)
    with state.change() as fresh:
        fresh.supervisor, fresh.programs = None, {}
