"""The content of one remote file, and how it is opened."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from starlette.datastructures import Headers

from batchyard_contracts.v1.commands import RemoteFiles
from services.ingest.domain.remote_file import FileUnreadable, RemoteFile
from services.ingest.http.content_encoding import ContentType


@dataclass(frozen=True, slots=True)
class FileContent:
    """Content of a file as its server sends it."""

    headers: Mapping[str, str]
    """Content-Type and Content-Encoding, in lower case, as far as they are known."""
    version: str | None
    """Entity tag, or what else tells that the content is still the same; None: nothing does."""
    chunks: AsyncIterator[bytes]
    """The bytes. Iterating raises `FileAway` and `FileUnreadable`."""

    def decoded(self, name: str) -> tuple[str, AsyncIterator[bytes]]:
        """Return the media type and the text as UTF-8, of a file with this name; raises `IngestError`."""
        headers = {key: self.headers[key] for key in ("content-type", "content-encoding") if key in self.headers}
        if name.endswith(".gz"):
            headers["content-encoding"] = "gzip"
        kind = ContentType(Headers(headers))
        return kind.media_type, kind.decode(self.chunks)


class FileOpener(Protocol):
    """Server of files. All methods raise `FileAway` and `FileUnreadable`."""

    async def list_files(self, form: RemoteFiles) -> tuple[RemoteFile, ...]:
        """Return the files of a batch, in the order in which they are read."""

    def open(
        self, form: RemoteFiles, file: RemoteFile, version: str | None
    ) -> AbstractAsyncContextManager[FileContent]:
        """Open a file; with a version only if it has that one still."""


def changed() -> FileUnreadable:
    """Return the error of a file that is not the same as before."""
    return FileUnreadable("file_changed", "It has changed since its first lines were read. Submit it as another batch.")
