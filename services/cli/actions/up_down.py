"""Actions of `batchyard up` and `batchyard down`."""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import typer

from devstack import AlreadyRunning, StackError, default_home, run_interruptible, shut_down
from devstack.launch import Launch, start_detached
from devstack.processes import is_running
from devstack.state import StackState
from services.cli.actions.sign_in_link import sign_in_link
from services.cli.client.address import Address
from services.cli.client.cluster_file import CLUSTER_FILE, read_cluster
from services.cli.client.variables import TOKEN
from services.cli.errors import BadInput, CliError, NotStarted
from services.cli.exit_codes import Exit
from services.cli.local_cluster import Plan, local_cluster
from services.cli.rendering.output import note, say, write_json

_BUILD = Path(__file__).resolve().parents[3] / ".ci" / "dashboard"
"""Program of a checkout that builds the dashboard if it has changed; a wheel contains it."""


def up(*, workers: int | None, port: int | None, detach: bool, quiet: bool, json: bool) -> None:
    """Start the local cluster and keep it running until Ctrl-C, or leave it in the background."""
    home = default_home()
    if _BUILD.is_file() and not quiet:  # without the npm registry it says so, and all else starts
        subprocess.run([_BUILD, "--optional"], check=False, stdout=sys.stderr)  # noqa: S603  # our own program
    try:
        if detach:
            asyncio.run(_run_in_background(home, workers, port, json=json))
        else:
            plan = Plan(home, workers=workers or 1, http_port=port)
            asyncio.run(run_interruptible(_run_in_foreground(plan, quiet=quiet, json=json)))
    except AlreadyRunning as error:
        raise NotStarted(f"Batchyard is already up at {_address(home)}.", "Stop it with `batchyard down`.") from error
    except StackError as error:
        raise NotStarted(str(error)) from error


def down(*, json: bool) -> None:
    """Stop all processes of the local cluster of this checkout."""
    home = default_home()
    try:
        asyncio.run(shut_down(home, note))
    except StackError as error:
        raise NotStarted(str(error)) from error
    (home / CLUSTER_FILE).unlink(missing_ok=True)
    if json:
        write_json({"running": False})
    else:
        say("Nothing of Batchyard runs any more.")


async def _run_in_foreground(plan: Plan, *, quiet: bool, json: bool) -> None:
    async with local_cluster(plan, note) as running:
        if not quiet:
            _print_address(running.url, running.token, json=json)
            note("Stop it with Ctrl-C.")
        await asyncio.Event().wait()


async def _run_in_background(home: Path, workers: int | None, port: int | None, *, json: bool) -> None:
    if _supervisor(home) is None:
        await _launch(home, workers, port)
    elif workers is not None or port is not None:
        raise BadInput(
            f"Batchyard is already up at {_address(home)}: --workers and --port hold for a start.",
            "Stop it with `batchyard down`, then start it again.",
        )
    running = read_cluster(home)
    _print_address(_address(home), running.environment.get(TOKEN.name) if running else None, json=json)


async def _launch(home: Path, workers: int | None, port: int | None) -> None:
    log = home / "log" / "up.log"
    log.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "services.cli", "up", "--quiet"]
    argv += ["--workers", str(workers)] if workers else []
    argv += ["--port", str(port)] if port else []
    process = await start_detached(Launch(tuple(argv), dict(os.environ), Path.cwd(), log))
    printed = 0
    while process is not None and is_running(process):
        printed += _print_new_lines(log, printed)
        if read_cluster(home) is not None:
            return
        await asyncio.sleep(0.1)  # a process that is not our child gives no other sign
    if not _print_new_lines(log, printed) and not printed:
        raise NotStarted("Batchyard could not be started, and its process said nothing.", f"Its log is {log}.")
    raise typer.Exit(Exit.UNREACHABLE)  # its log states the reason


def _print_new_lines(log: Path, printed: int) -> int:
    """Print the complete lines that the background process has added to its log; return their length in bytes."""
    fresh = log.read_bytes()[printed:]
    fresh = fresh[: fresh.rfind(b"\n") + 1]
    for line in fresh.decode(errors="replace").splitlines():
        note(line)
    return len(fresh)


def _supervisor(home: Path) -> object:
    known = StackState(home).read().supervisor
    return known and known.find()


def _address(home: Path) -> str:
    running = read_cluster(home)
    return running.url if running else "an address that is not known yet"


def _print_address(url: str, token: str | None, *, json: bool) -> None:
    if json:
        write_json({"url": url})
        return
    say(f"Batchyard is up at {url} (API documentation: {url}/docs)")
    if token:
        with suppress(CliError):  # `batchyard dashboard` says why
            say(f"Dashboard, signed in: {sign_in_link(Address(url, token))}")
