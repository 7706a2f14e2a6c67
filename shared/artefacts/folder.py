"""Stores files in a folder: each is written under a temporary name, and then renamed."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from shared.artefacts.store import FileLost, StoreFailed

_PIECE = 1024 * 1024


class FolderStore:
    """Store in a folder of this machine, or in one that all processes share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def fault(self) -> str | None:
        """Return the reason why the folder cannot be used; None if it can."""
        there = next(place for place in (self._root, *self._root.parents) if place.exists())
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            return None
        return f"cannot be written to {self._root}"

    async def keep(self, name: str, parts: AsyncIterator[bytes], content_type: str) -> str:
        """Store a file and return its URI. The file system stores no content type."""
        place = self._root / name
        try:
            part = await asyncio.to_thread(_begin, place)
            try:
                with part.open("wb") as file:
                    async for some in parts:
                        await asyncio.to_thread(file.write, some)
                    await asyncio.to_thread(_end, file.fileno())
                await asyncio.to_thread(part.replace, place)
            finally:
                with suppress(FileNotFoundError):
                    part.unlink()
        except OSError as error:
            raise _failed(self._root, error) from error
        return place.as_uri()

    async def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Read a part of a file."""
        try:
            with await asyncio.to_thread((self._root / name).open, "rb") as file:
                file.seek(start)
                while start < end:
                    piece = await asyncio.to_thread(file.read, min(_PIECE, end - start))
                    if not piece:
                        raise FileLost(f"{name} in {self._root} is shorter than it was written.")
                    start += len(piece)
                    yield piece
        except FileNotFoundError as error:
            if self._root.is_dir():  # else the file system may be away
                raise FileLost(f"{self._root} has no file {name}.") from error
            raise _failed(self._root, error) from error
        except OSError as error:
            raise _failed(self._root, error) from error

    async def names(self, folder: str, most: int) -> list[str]:
        """Return names of files in a folder, at most so many."""
        try:
            return await asyncio.to_thread(self._names, folder, most)
        except OSError as error:
            raise _failed(self._root, error) from error

    def _names(self, folder: str, most: int) -> list[str]:
        try:
            with os.scandir(self._root / folder) as entries:
                return [f"{folder}/{entry.name}" for entry in islice(entries, most)]
        except FileNotFoundError:
            if self._root.is_dir():
                return []
            raise  # the file system may be away

    async def delete(self, names: Sequence[str]) -> None:
        """Delete files, and folders that become empty."""
        try:
            await asyncio.to_thread(self._delete, names)
        except OSError as error:
            raise _failed(self._root, error) from error

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            (self._root / name).unlink(missing_ok=True)
        for parent in {(self._root / name).parent for name in names}:
            folder = parent
            while folder != self._root and folder.is_dir() and not any(folder.iterdir()):
                with suppress(FileNotFoundError):
                    folder.rmdir()
                folder = folder.parent


def _begin(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", dir=place.parent)
    os.fchmod(handle, 0o644)
    os.close(handle)
    return Path(name)


def _end(handle: int) -> None:
    os.fsync(handle)


def _failed(root: Path, error: OSError) -> StoreFailed:
    return StoreFailed(f"The folder {root} could not be used: {error.strerror or 'a file is broken'}.")
