"""What a stack remembers between commands: `run.json` in its home, changed under a lock."""

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from devstack.component import Name
from devstack.errors import StackError
from devstack.processes import Identity


class ServerRecord(BaseModel):
    """A server that this stack started."""

    how: Literal["private", "docker"]
    ports: dict[str, int] = Field(default_factory=dict)
    processes: list[Identity] = Field(default_factory=list)
    """The process to signal first, then what it brought along; empty when it does not run."""


class Document(BaseModel):
    """The whole content of the file."""

    servers: dict[Name, ServerRecord] = Field(default_factory=dict)
    users: list[Identity] = Field(default_factory=list)
    """Processes that have started the servers or joined them, and have not released them."""
    supervisor: Identity | None = None
    programs: dict[str, Identity] = Field(default_factory=dict)
    redis_numbers: dict[str, int] = Field(default_factory=dict)
    """The Redis database number of each isolated name."""


class State:
    """The file and its two locks: a short one for each change, a long one for starting and stopping."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._file = home / "run.json"

    def read(self) -> Document:
        """Give what is remembered; an empty document if nothing is."""
        if not self._file.exists():
            return Document()
        try:
            return Document.model_validate_json(self._file.read_bytes())
        except ValidationError as error:
            raise StackError(f"{self._file} cannot be read. Stop what runs by hand, then delete the file.") from error

    @contextlib.contextmanager
    def change(self) -> Iterator[Document]:
        """Read the document, let the caller change it, write it back; no other process comes in between."""
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
        """Start or stop servers with no other process doing the same. Raises StackError after `within` seconds."""
        self._make_home()
        deadline = asyncio.get_running_loop().time() + within
        with (self.home / "stack.lock").open("a") as lock:
            while not _taken(lock.fileno()):
                if asyncio.get_running_loop().time() > deadline:
                    raise StackError(f"Another command has been starting or stopping {self.home} for {within:.0f} s.")
                await asyncio.sleep(0.1)  # a file lock has no other way to be awaited
            yield

    def _make_home(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o755)
        except OSError as error:
            raise StackError(f"{self.home} cannot be made: {error}. Set BATCHYARD_HOME to another folder.") from error


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
