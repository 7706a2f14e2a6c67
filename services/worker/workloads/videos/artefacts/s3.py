"""Keeps clips in a bucket of an S3-compatible store."""

from collections.abc import AsyncIterator

from services.worker.workloads.videos.artefacts.errors import errors_of_items
from services.worker.workloads.videos.settings import VideosSettings
from shared.artefacts.bucket import BucketStore


class Bucket:
    """Store of clips in one bucket."""

    def __init__(self, settings: VideosSettings) -> None:
        self._store = BucketStore(settings.place)

    async def keep(self, name: str, parts: AsyncIterator[bytes], content_type: str) -> str:
        """Store a clip."""
        with errors_of_items():
            return await self._store.keep(name, parts, content_type)
