"""Makes an environment for each peer that needs packages which are not the project's: pinned, by hash, once."""

import asyncio
import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from shared.stack import StackError

_MARK = "complete"


async def interpreter(home: Path, requirements: str | None, echo: Callable[[str], None]) -> Path:
    """The Python of the environment that holds these requirements; made if it is missing. Raises `StackError`."""
    if requirements is None:
        return Path(sys.executable)
    file = Path(__file__).with_name(requirements)
    digest = hashlib.sha256(file.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = home / "peers" / f"{file.stem}-{digest}"
    python = folder / "bin" / "python"
    if not (folder / _MARK).exists():
        echo(f"Installing {file.stem} into an environment of its own")
        shutil.rmtree(folder, ignore_errors=True)
        await _run(sys.executable, "-m", "venv", str(folder))
        await _run(str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(file))
        (folder / _MARK).touch()
    return python


async def _run(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = complaint.decode(errors="replace").strip()[-2000:]
        raise StackError(f"{' '.join(argv[:4])} ended with code {process.returncode}: {said}")
