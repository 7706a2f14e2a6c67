"""Stores clips completely or not at all, under a name that all runs of an item share."""

from collections.abc import AsyncIterator

from batchyard_contracts.workload import Permanent, Transient
from services.worker.workloads.videos.settings import PREFIX, VideosSettings
from shared.artefacts import store as artefacts


class ClipStore:
    """Store of clips, whose errors are those of their items."""

    def __init__(self, store: artefacts.ArtefactStore) -> None:
        self._store = store

    async def keep(self, name: str, parts: AsyncIterator[bytes], content_type: str) -> str:
        """Store a clip and return its URI; an interruption leaves nothing under the name. `name` may have folders."""
        try:
            return await self._store.keep(name, parts, content_type)
        except artefacts.StoreRefused as error:
            raise Permanent("store_refused", str(error), scope="provider") from error
        except artefacts.StoreFailed as error:
            raise Transient("store_failed", str(error)) from error


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
    fault = artefacts.fault_of(settings.place)
    return fault and f"The store of clips, {PREFIX}STORE of the workers, {fault}. Mend it, and restart the workers."


def open_store(settings: VideosSettings) -> ClipStore:
    """Open the store that the settings describe."""
    return ClipStore(artefacts.open_store(settings.place))
