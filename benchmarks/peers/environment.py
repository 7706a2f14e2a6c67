"""Makes an environment for each peer that needs packages which are not the project's: pinned, by hash, once.

Nothing is resolved: each peer has a lock in this folder, and `make lock` writes all of them anew.
"""

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from devstack import StackError

_MARK = "complete"
_HERE = Path(__file__).parent


class Unavailable(StackError):
    """A peer cannot take part on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The program that runs a peer's code, and the variables that lead it to the peer's packages."""

    program: Path
    variables: dict[str, str] = field(default_factory=dict)


async def environment(home: Path, needs: str | None, echo: Callable[[str], None]) -> Environment:
    """The program that runs a peer: `needs` is a file of requirements or a folder of a Node package beside this file.

    None needs nothing but the project's own environment. What is missing is installed. Raises `Unavailable`.
    """
    if needs is None:
        return Environment(Path(sys.executable))
    source = _HERE / needs
    return await (_node(home, source, echo) if source.is_dir() else _python(home, source, echo))


async def _python(home: Path, requirements: Path, echo: Callable[[str], None]) -> Environment:
    folder = _folder(home, requirements.stem, [requirements], sys.version)
    python = folder / "bin" / "python"
    if not (folder / _MARK).exists():
        echo(f"Installing {requirements.stem} into an environment of its own")
        shutil.rmtree(folder, ignore_errors=True)
        await _run(folder, sys.executable, "-m", "venv", str(folder))
        options = ("--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:")
        await _run(folder, str(python), "-m", "pip", "install", *options, "-r", str(requirements))
        await _run(folder, str(python), "-m", "pip", "check")
        (folder / _MARK).touch()
    return Environment(python)


async def _node(home: Path, package: Path, echo: Callable[[str], None]) -> Environment:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Unavailable(f"{package.name} needs Node: node and npm were not both found on the PATH.")
    pins = [package / "package.json", package / "package-lock.json"]
    folder = _folder(home, package.name, pins, node)
    if not (folder / _MARK).exists():
        echo(f"Installing {package.name} into a folder of its own")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for pin in pins:
            shutil.copy(pin, folder)
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        await _run(folder, npm, "ci", "--prefix", str(folder), *options)
        (folder / _MARK).touch()
    return Environment(Path(node), {"NODE_PATH": str(folder / "node_modules"), "NODE_ENV": "production"})


def _folder(home: Path, name: str, pins: Iterable[Path], on: str) -> Path:
    digest = hashlib.sha256(b"".join(pin.read_bytes() for pin in pins) + on.encode()).hexdigest()[:12]
    return home / "peers" / f"{name}-{digest}"


async def _run(folder: Path, *argv: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=os.environ | {"CI": "true"}
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = said.decode(errors="replace").strip()[-500:]
        raise Unavailable(f"{folder.name.rpartition('-')[0]} could not be installed: {last}")
