"""Finds server programs on this machine: in Debian's folders, then on the PATH."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.component import Name

_RABBITMQ_FOLDERS = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/rabbitmq/sbin"))
_POSTGRES_ROOTS = (Path("/usr/lib/postgresql"),)
_REDIS_FOLDERS = (Path("/usr/bin"), Path("/usr/local/bin"))


@dataclass(frozen=True)
class ProgramFinder:
    """Finds server programs in the given folders; the defaults suit Debian."""

    path: str | None = None
    """PATH to search; None: the PATH of the environment."""
    rabbitmq_folders: Sequence[Path] = _RABBITMQ_FOLDERS
    postgres_roots: Sequence[Path] = _POSTGRES_ROOTS
    redis_folders: Sequence[Path] = _REDIS_FOLDERS

    def find(self, name: Name) -> Path | None:
        """Return the server program of a component whose tools are in the same folder, or None."""
        finders = {"rabbitmq": self._rabbitmq, "postgres": self._postgres, "redis": self._redis}
        return finders[name]()

    def _rabbitmq(self) -> Path | None:
        # Debian's program on the PATH is a wrapper that requires its own user; the real programs lie beside its target.
        folders = [*self.rabbitmq_folders, *self._path_folders("rabbitmq-server")]
        return _first(folders, ("rabbitmq-server", "rabbitmqctl"))

    def _postgres(self) -> Path | None:
        versions = sorted((bin_ for root in self.postgres_roots for bin_ in root.glob("*/bin")), key=_version)
        return _first([*reversed(versions), *self._path_folders("postgres")], ("postgres", "initdb"))

    def _redis(self) -> Path | None:
        for program in ("redis-server", "valkey-server"):
            if found := _first([*self._path_folders(program), *self.redis_folders], (program,)):
                return found
        return None

    def _path_folders(self, program: str) -> list[Path]:
        found = shutil.which(program, path=self.path)
        return [Path(found).resolve().parent] if found else []


def _first(folders: Sequence[Path], programs: tuple[str, ...]) -> Path | None:
    for folder in folders:
        if all(os.access(folder / program, os.X_OK) for program in programs):
            return folder / programs[0]
    return None


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in folder.parent.name.split("."))
