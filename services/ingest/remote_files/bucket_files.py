"""Reads files below a prefix of a bucket of an S3-compatible store, each with the entity tag that the list names."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError, UnauthenticatedError
from obstore.store import S3Store

from batchyard_contracts.v1.commands import RemoteFiles
from services.ingest.domain.remote_file import MAX_FILES, FileAway, FileUnreadable, RemoteFile, is_item_file
from services.ingest.remote_files.content import FileContent, changed
from shared.artefacts.bucket import open_bucket
from shared.artefacts.store import StorePlace

_PIECE = 256 * 1024
_IDLE_S = 30.0


class BucketFiles:
    """Reader of files in buckets, with the credentials of the settings."""

    def __init__(self, place: StorePlace) -> None:
        self._place = place

    async def list_files(self, form: RemoteFiles) -> tuple[RemoteFile, ...]:
        """Return the object of this name, or those below the prefix in order of their keys."""
        bucket, prefix = _parts(form.url)
        store, found = self._store(bucket), list[RemoteFile]()
        with _errors():
            if prefix and not form.url.endswith("/"):
                try:
                    one = await obstore.head_async(store, prefix)
                    return (RemoteFile(name=prefix, version=one["e_tag"]),)
                except FileNotFoundError:  # a prefix
                    pass
            async for some in obstore.list(store, prefix or None):
                found += [
                    RemoteFile(name=one["path"], version=one["e_tag"])
                    for one in some
                    if is_item_file(one["path"], one["size"])
                ]
                if len(found) > MAX_FILES:
                    detail = f"There are more than {MAX_FILES} files below the prefix. Name a longer one."
                    raise FileUnreadable("too_many_files", detail)
        if not found:
            raise FileUnreadable("file_unavailable", "There is no file of this name, nor one below this prefix.")
        return tuple(sorted(found, key=lambda file: file.name))

    @asynccontextmanager
    async def open(self, form: RemoteFiles, file: RemoteFile, version: str | None) -> AsyncIterator[FileContent]:
        """Open an object, if it is the one that was listed."""
        with _errors():
            tag = version or file.version
            options = {"if_match": tag} if tag else {}
            found = await obstore.get_async(self._store(_parts(form.url)[0]), file.name, options=options)  # type: ignore[arg-type]
        if tag and found.meta["e_tag"] not in {tag, None}:
            raise changed()
        headers = {str(name).lower(): str(value) for name, value in found.attributes.items()}
        yield FileContent(headers, tag, _chunks(found))

    def _store(self, bucket: str) -> S3Store:
        return open_bucket(self._place, bucket, timeout=timedelta(hours=24), retries=1)


async def _chunks(found: "obstore.GetResult") -> AsyncIterator[bytes]:
    with _errors():
        parts = aiter(found.stream(min_chunk_size=_PIECE))
        while True:
            async with asyncio.timeout(_IDLE_S):
                part = await anext(parts, None)
            if part is None:
                return
            yield bytes(part)


def _parts(url: str) -> tuple[str, str]:
    """Return bucket and prefix."""
    parts = urlsplit(url)
    return parts.netloc, parts.path.strip("/")


@contextmanager
def _errors() -> Iterator[None]:
    """Translate errors of the store. Their texts may hold a key: they are not quoted."""
    try:
        yield
    except PreconditionError as error:
        raise changed() from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        detail = "The credentials of ingest do not open it. An operator sets them: BATCHYARD_REMOTE_FILES_S3_KEY_ID."
        raise FileUnreadable("bucket_refused", detail) from error
    except FileNotFoundError as error:
        raise FileUnreadable("file_unavailable", "It does not exist, or no longer.") from error
    except (BaseError, TimeoutError, OSError) as error:
        raise FileAway("The store gave no complete answer.") from error
