"""Store of files, each kept completely or not at all, and the place of one."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr


class StoreFailed(Exception):
    """The store gave no answer, or has no room; the same may succeed later."""


class StoreRefused(Exception):
    """The store takes nothing from this service, until somebody changes its settings."""


class FileLost(StoreRefused):
    """The store is there, and has no such file, or only a part of it."""


class ArtefactStore(Protocol):
    """Store of files under names with `/` between folders. All methods raise `StoreFailed` and `StoreRefused`."""

    async def keep(self, name: str, parts: AsyncIterator[bytes], content_type: str) -> str:
        """Store a file, in place of an earlier one, and return its URI; an interruption leaves nothing new."""

    def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Read the bytes of a file from `start` up to `end`, which is not read; raises `FileLost`, too."""

    async def names(self, folder: str, most: int) -> list[str]:
        """Return names of files in a folder, at most so many, in no order; none if there is no such folder."""

    async def delete(self, names: Sequence[str]) -> None:
        """Delete files; those that are not there are deleted already."""


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Place of a store: a folder, or `s3://bucket/prefix` at a service."""

    store: str
    s3_url: str = ""
    s3_key_id: str = ""
    s3_secret: SecretStr = field(default_factory=lambda: SecretStr(""))
    s3_region: str = "us-east-1"

    @property
    def bucket(self) -> tuple[str, str] | None:
        """Bucket and prefix; None if the place is a folder."""
        parts = urlsplit(self.store)
        return (parts.netloc, parts.path.strip("/")) if parts.scheme == "s3" else None

    @property
    def folder(self) -> Path:
        """The folder, where files are kept in one."""
        return Path(self.store).expanduser().absolute()


class Measured:
    """Iterator over the parts of a file that counts their bytes and computes their digest."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts
        self._digest = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes read so far."""
        return self._digest.hexdigest()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            self.bytes += len(part)
            self._digest.update(part)
            yield part


def fault_of(place: StorePlace) -> str | None:
    """Return the reason why a store cannot be used; None if it can. It is the end of a sentence about the store."""
    if place.bucket is None:
        from shared.artefacts.folder import FolderStore  # noqa: PLC0415  either of two modules

        return FolderStore(place.folder).fault()
    try:
        import obstore  # noqa: F401, PLC0415  an extra, which few need
    except ImportError:
        return "names a bucket: install batchyard[s3]"
    return None


def open_store(place: StorePlace) -> ArtefactStore:
    """Open the store at a place."""
    if place.bucket is None:
        from shared.artefacts.folder import FolderStore  # noqa: PLC0415  as above

        return FolderStore(place.folder)
    from shared.artefacts.bucket import BucketStore  # noqa: PLC0415  needs an extra

    return BucketStore(place)


def check_place(text: str) -> str:
    """Return the place of a store as it is written in a setting; raises `ValueError`."""
    parts = urlsplit(text)
    if parts.scheme not in ("", "s3") or (parts.scheme == "s3" and not parts.netloc):
        raise ValueError("it is neither a folder nor s3://bucket/prefix")
    return text
