"""Stores files in a bucket of an S3-compatible store. A multipart upload becomes an object with its last part."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from shared.artefacts.store import FileLost, StoreFailed, StorePlace, StoreRefused

_AT_A_TIME = 32
"""Objects that are deleted at once."""


class BucketStore:
    """Store in one bucket; its credentials come from the settings, else from the environment as AWS describes it."""

    def __init__(self, place: StorePlace) -> None:
        name, self._prefix = place.bucket or ("", "")
        self._name = name
        self._store = open_bucket(place, name, timeout=timedelta(seconds=60), retries=3)

    async def keep(self, name: str, parts: AsyncIterator[bytes], content_type: str) -> str:
        """Store a file and return its URI."""
        key = self._key(name)
        with self._errors():
            await obstore.put_async(self._store, key, parts, attributes={"Content-Type": content_type})
        return f"s3://{self._name}/{key}"

    async def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Read a part of a file."""
        if start == end:
            return
        with self._errors(), self._missing_file(name):
            found = await obstore.get_async(self._store, self._key(name), options={"range": (start, end)})
            async for piece in found.stream():
                yield bytes(piece)

    async def names(self, folder: str, most: int) -> list[str]:
        """Return names of files in a folder, at most so many."""
        found: list[str] = []
        with self._errors():
            async for objects in obstore.list(self._store, prefix=self._key(folder), chunk_size=most):
                found += [str(one["path"])[len(self._key("")) :] for one in objects]
                if len(found) >= most:
                    break
        return found[:most]

    async def delete(self, names: Sequence[str]) -> None:
        """Delete files."""
        for start in range(0, len(names), _AT_A_TIME):
            await asyncio.gather(*map(self._delete, names[start : start + _AT_A_TIME]))

    async def _delete(self, name: str) -> None:
        try:
            with self._errors():
                await obstore.delete_async(self._store, self._key(name))
        except StoreRefused as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    @contextmanager
    def _missing_file(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            raise FileLost(f"The bucket {self._name} has no object {self._key(name)}.") from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError, FileNotFoundError) as error:
            raise StoreRefused(f"The bucket {self._name} takes no file: {_words(error)}.") from error
        except BaseError as error:
            raise StoreFailed(f"The bucket {self._name} could not be used: {_words(error)}.") from error


def open_bucket(place: StorePlace, name: str, *, timeout: timedelta, retries: int) -> S3Store:
    """Open a bucket of the service of a place. `timeout` is that of one request with its body."""
    given: dict[str, object] = {"region": place.s3_region}
    if place.s3_url:
        given |= {"endpoint": place.s3_url, "virtual_hosted_style_request": False}
    if place.s3_key_id:
        given |= {"access_key_id": place.s3_key_id, "secret_access_key": place.s3_secret.get_secret_value()}
    return S3Store(
        name,
        config=given,  # type: ignore[arg-type]
        client_options={"allow_http": place.s3_url.startswith("http:"), "timeout": timeout},
        retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=60)},
    )


def _words(error: Exception) -> str:
    """Return why the store refused. The text of the error may hold a key: it is not quoted."""
    match error:
        case PermissionDeniedError():
            return "the key has no permission to write"
        case UnauthenticatedError():
            return "the key is not valid"
        case FileNotFoundError():
            return "it does not exist"
    return "the store gave no answer, or none that is known"
