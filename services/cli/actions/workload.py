"""Actions of `batchyard workload`. Workers and checks run as processes of their own, as in production."""

import asyncio
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import msgspec
import typer
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.v1.values import WorkloadName
from devstack import Stack, StackError, default_home, run_interruptible
from devstack.state import StackState
from services.cli.errors import BadInput, NotStarted
from services.cli.local_cluster import environment_without_servers
from services.cli.parsing.json_text import read_json
from services.cli.rendering.output import note, say


def write_new(name: str, output: Path | None) -> None:
    """Write a file with a new workload of this name; an existing file stays unchanged."""
    try:
        TypeAdapter(WorkloadName).validate_python(name)
    except ValidationError as error:
        advice = "Begin with a letter; use lower case letters, digits and hyphens, 48 at most."
        raise BadInput(f"{name!r} is not the name of a workload.", advice) from error
    file = output or Path(f"{name.replace('-', '_')}.py")
    text = files("services.cli.actions").joinpath("workload_template.txt").read_text("utf-8")
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(text.replace("NAME", name))
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}.", "Give another one with --output.") from error
    say(f"{file} is written. Next:")
    for what in ("test", "run"):
        say(f"  batchyard workload {what} {file}")


def run_worker(file: Path) -> None:
    """Run a worker for the workloads of a file until it is interrupted, and exit with its code."""
    if not file.is_file():
        raise BadInput(f"There is no file {file}.")
    files = msgspec.json.encode([str(file.resolve())]).decode()
    more = {"BATCHYARD_WORKER_FILES": files, "BATCHYARD_LOG_FORMAT": "console"}
    try:
        code = asyncio.run(run_interruptible(_in_local_cluster(environment_without_servers() | more)))
    except StackError as error:
        raise NotStarted(str(error)) from error
    raise typer.Exit(code or 0)


def run_checks(file: Path, item: str | None, *, json: bool) -> None:
    """Run the checks and exit with their code."""
    if item is not None:
        read_json(item.encode(), "--item", "Write it like '{\"n\": 7}'.")
    argv = [sys.executable, "-m", "services.worker.conformance", str(file), *(["--json"] if json else [])]
    raise typer.Exit(subprocess.run([*argv, *(["--item", item] if item else [])], check=False).returncode)  # noqa: S603


async def _in_local_cluster(environment: dict[str, str]) -> int:
    if environment.get("BATCHYARD_AMQP_URL"):
        return await _worker(environment)
    home = default_home()
    supervisor = StackState(home).read().supervisor
    if supervisor is None or not supervisor.find():
        raise NotStarted(
            "No local cluster is running.", "Start one with `batchyard up --detach`, or set BATCHYARD_AMQP_URL."
        )
    stack = Stack(home, note, environment=environment)
    servers = await stack.start()
    try:
        accounts = await stack.create_accounts(servers)
        return await _worker(environment | accounts["worker"])
    finally:
        await stack.release()


async def _worker(environment: dict[str, str]) -> int:
    argv = (sys.executable, "-m", "services.worker")
    process = await asyncio.create_subprocess_exec(*argv, env=environment, start_new_session=True)
    try:
        code = await process.wait()
        if code not in {0, 1}:  # with these codes it has printed the reason itself
            note(f"The worker died: exit code {code}. What it had in hand runs again once you start it anew.")
        return code
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
