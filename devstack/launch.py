"""Starts programs that outlive this process, and runs tools."""

import asyncio
import pwd
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from devstack.errors import StackError

_DETACH = '"$@" </dev/null >&2 & echo $!'
"""Shell command that starts the program in the background and ends, so that init becomes its parent."""


@dataclass(frozen=True)
class Launch:
    """Program to start, with its complete environment, working directory and log."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path
    log: Path
    user: str | None = None
    """User to run as; None: the current user."""


async def start_detached(launch: Launch) -> psutil.Process | None:
    """Start the program in its own session, which Ctrl-C does not reach; None if it ended at once."""
    launch.log.parent.mkdir(parents=True, exist_ok=True)
    with launch.log.open("ab") as log:
        argv = ("/bin/sh", "-c", _DETACH, "sh", *launch.argv)
        shell = await _spawn(launch, argv, stderr=log.fileno(), start_new_session=True)
        output, _ = await shell.communicate()
    try:
        return psutil.Process(int(output))
    except psutil.NoSuchProcess:
        return None


async def run(launch: Launch, within: float, stdin: str | None = None) -> str:
    """Run a tool and return its output; `stdin` is its input. Raises StackError on failure or after `within` s."""
    source = DEVNULL if stdin is None else PIPE
    process = await _spawn(launch, launch.argv, stdin=source, stderr=PIPE, start_new_session=False)
    try:
        async with asyncio.timeout(within):
            out, error_output = await process.communicate(None if stdin is None else stdin.encode())
    except TimeoutError as error:
        raise StackError(f"{launch.argv[0]} did not end within {within:.0f} s.") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        text = (error_output or out).decode(errors="replace").strip()
        raise StackError(f"{' '.join(launch.argv[:2])} ended with code {process.returncode}: {text[-2000:]}")
    return out.decode(errors="replace")


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log, to be shown with an error."""
    if not log.exists():
        return f"({log} does not exist)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


async def _spawn(
    launch: Launch, argv: tuple[str, ...], *, stderr: int, start_new_session: bool, stdin: int = DEVNULL
) -> Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        env=launch.env,
        cwd=launch.folder,
        stdin=stdin,
        stdout=PIPE,
        stderr=stderr,
        start_new_session=start_new_session,
        **(_identity(launch.user) if launch.user else {}),
    )


def _identity(user: str) -> dict[str, Any]:
    """Return the options that change the user of a process. uvloop knows none of them."""
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
