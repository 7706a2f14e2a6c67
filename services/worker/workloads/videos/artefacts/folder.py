"""Stores files in a folder: each is written under a temporary name, and then renamed."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from batchyard_contracts.workload import Transient
from services.worker.workloads.videos.settings import PREFIX


class Folder:
    """Store in a folder of this machine, or in one that all workers share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def fault(self) -> str | None:
        """Return the reason why the folder cannot be used; None if it can."""
        there = next(place for place in (self._root, *self._root.parents) if place.exists())
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            return None
        return f"Clips cannot be written to {self._root}: set {PREFIX}STORE of the workers, and restart them."

    async def keep(self, name: str, parts: AsyncIterator[bytes], content_type: str) -> str:
        """Store a file; `name` may have folders. The file system stores no content type."""
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
            why = error.strerror or "it cannot be written"
            raise Transient("store_failed", f"The clip could not be written to {self._root}: {why}.") from error
        return place.as_uri()


def _begin(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", dir=place.parent)
    os.fchmod(handle, 0o644)
    os.close(handle)
    return Path(name)


def _end(handle: int) -> None:
    os.fsync(handle)
