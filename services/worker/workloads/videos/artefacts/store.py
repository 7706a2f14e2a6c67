"""Stores a file completely or not at all, under a name that all runs of an item share."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from batchyard_contracts.workload import Permanent
from services.worker.workloads.videos.artefacts.folder import Folder
from services.worker.workloads.videos.settings import PREFIX, VideosSettings
from shared.artefacts import store as artefacts


class Store(Protocol):
    """Store of files: a folder or a bucket."""

    async def keep(self, name: str, parts: AsyncIterator[bytes], content_type: str) -> str:
        """Store a file and return its URI; an interruption leaves nothing under the name. Raises `Transient`."""


class Measured(artefacts.Measured):
    """Iterator over the parts of a clip that counts their bytes, computes their digest, and refuses too many."""

    def __init__(self, parts: AsyncIterator[bytes], most: int) -> None:
        super().__init__(parts)
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in super().__aiter__():
            if self.bytes > self._most:
                message = f"The clip has more than {self._most} bytes: {PREFIX}MAX_BYTES of the workers may be raised."
                raise Permanent("artefact_too_large", message)
            yield part


def fault_of(settings: VideosSettings) -> str | None:
    """Return the reason why the store of the settings cannot be used; None if it can."""
    if settings.place.bucket is None:
        return Folder(settings.place.folder).fault()
    try:
        import obstore  # noqa: F401, PLC0415  an extra, which few need
    except ImportError:
        return f"{PREFIX}STORE names a bucket: install batchyard[s3] where the workers run."
    return None


def open_store(settings: VideosSettings) -> AbstractAsyncContextManager[Store]:
    """Open the store that the settings describe."""
    if settings.place.bucket is None:
        return nullcontext(Folder(settings.place.folder))
    from services.worker.workloads.videos.artefacts.s3 import Bucket  # noqa: PLC0415  needs an extra

    return nullcontext(Bucket(settings))
