"""Stores files in a bucket of an S3-compatible store. A multipart upload becomes an object with its last part."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from shared.artefacts.store import StoreFailed, StorePlace, StoreRefused


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
        with self._errors():
            found = await obstore.get_async(self._store, self._key(name), options={"range": (start, end)})
            async for piece in found.stream():
                yield bytes(piece)

    async def delete(self, names: Sequence[str]) -> None:
        """Delete files."""
        for name in names:
            try:
                with self._errors():
                    await obstore.delete_async(self._store, self._key(name))
            except StoreRefused as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

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
