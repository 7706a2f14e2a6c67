"""Keeps clips in a folder."""

from collections.abc import AsyncIterator
from pathlib import Path

from services.worker.workloads.videos.artefacts.errors import errors_of_items
from services.worker.workloads.videos.settings import PREFIX
from shared.artefacts.folder import FolderStore


class Folder:
    """Store of clips in a folder of this machine, or in one that all workers share."""

    def __init__(self, root: Path) -> None:
        self._store = FolderStore(root)

    def fault(self) -> str | None:
        """Return the reason why the folder cannot be used; None if it can."""
        fault = self._store.fault()
        return fault and f"Clips {fault}: set {PREFIX}STORE of the workers, and restart them."

    async def keep(self, name: str, parts: AsyncIterator[bytes], content_type: str) -> str:
        """Store a clip; `name` may have folders."""
        with errors_of_items():
            return await self._store.keep(name, parts, content_type)
