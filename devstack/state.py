"""Persistent state of a stack between commands: `run.json` in its home, changed under a lock."""

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from devstack.component import Name
from devstack.errors import StackError
from devstack.processes import ProcessIdentity


class ServerRecord(BaseModel):
    """Record of a server that this stack started."""

    how: Literal["private", "docker"]
    ports: dict[str, int] = Field(default_factory=dict)
    processes: list[ProcessIdentity] = Field(default_factory=list)
    """Main process first, then its other processes; empty if it does not run."""


class StateDocument(BaseModel):
    """Content of the file."""

    servers: dict[Name, ServerRecord] = Field(default_factory=dict)
    users: list[ProcessIdentity] = Field(default_factory=list)
    """Processes that use the servers: each has started them and not released them yet."""
    supervisor: ProcessIdentity | None = None
    programs: dict[str, ProcessIdentity] = Field(default_factory=dict)
    redis_numbers: dict[str, int] = Field(default_factory=dict)
    """Redis database number by isolated name."""


class StackState:
    """The state file with its two locks: one for each change, one for starting and stopping servers."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._file = home / "run.json"

    def read(self) -> StateDocument:
        """Return the content of the file; an empty document if it does not exist."""
        if not self._file.exists():
            return StateDocument()
        try:
            return StateDocument.model_validate_json(self._file.read_bytes())
        except ValidationError as error:
            raise StackError(f"{self._file} cannot be read. Stop the servers by hand, then delete the file.") from error

    @contextlib.contextmanager
    def change(self) -> Iterator[StateDocument]:
        """Read the document, let the caller change it and write it back, atomically among processes."""
        self._make_home()
        with (self.home / "run.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            document = self.read()
            yield document
            fresh = self._file.with_suffix(".new")
            fresh.write_text(document.model_dump_json(indent=1), encoding="utf-8")
            fresh.replace(self._file)

    @contextlib.asynccontextmanager
    async def exclusive(self, within: float = 120) -> AsyncIterator[None]:
        """Hold the lock for starting and stopping servers. Raises StackError after `within` seconds."""
        self._make_home()
        deadline = asyncio.get_running_loop().time() + within
        with (self.home / "stack.lock").open("a") as lock:
            while not _try_lock(lock.fileno()):
                if asyncio.get_running_loop().time() > deadline:
                    raise StackError(f"Another command has been starting or stopping {self.home} for {within:.0f} s.")
                await asyncio.sleep(0.1)  # file locks can only be polled
            yield

    def _make_home(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o755)
        except OSError as error:
            raise StackError(
                f"{self.home} cannot be created: {error}. Set BATCHYARD_HOME to another folder."
            ) from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
