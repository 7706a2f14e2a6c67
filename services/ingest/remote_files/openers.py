"""Chooses who opens the files of a batch: a client of the web, or one of buckets."""

from collections.abc import Sequence

from batchyard_contracts.egress import Network
from batchyard_contracts.v1.commands import RemoteFiles
from services.ingest.remote_files.content import FileOpener
from services.ingest.remote_files.web_files import WebFiles
from shared.artefacts.store import StorePlace


class Openers:
    """Openers of files, made once they are needed."""

    def __init__(self, networks: Sequence[Network], place: StorePlace) -> None:
        self._networks, self._place = networks, place
        self._web: WebFiles | None = None

    def of(self, form: RemoteFiles) -> FileOpener:
        """Return the opener for a URL."""
        if form.url.startswith("s3://"):
            from services.ingest.remote_files.bucket_files import BucketFiles  # noqa: PLC0415  needs an extra

            return BucketFiles(self._place)
        if self._web is None:
            self._web = WebFiles(self._networks)
        return self._web

    async def close(self) -> None:
        """Close all connections."""
        if self._web is not None:
            await self._web.close()
