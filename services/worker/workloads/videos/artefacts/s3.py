"""Stores files in a bucket of an S3-compatible store. A multipart upload becomes an object with its last part."""

from collections.abc import AsyncIterator
from datetime import timedelta

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from batchyard_contracts.workload import Permanent, Transient
from services.worker.workloads.videos.settings import VideosSettings


class Bucket:
    """Store in one bucket; its credentials come from the settings, else from the environment as AWS describes it."""

    def __init__(self, settings: VideosSettings) -> None:
        name, self._prefix = settings.bucket or ("", "")
        self._name = name
        given: dict[str, object] = {"region": settings.s3_region}
        if settings.s3_url:
            given |= {"endpoint": settings.s3_url, "virtual_hosted_style_request": False}
        if settings.s3_key_id:
            given |= {"access_key_id": settings.s3_key_id, "secret_access_key": settings.s3_secret.get_secret_value()}
        self._store = S3Store(
            name,
            config=given,  # type: ignore[arg-type]
            client_options={"allow_http": settings.s3_url.startswith("http:"), "timeout": timedelta(seconds=60)},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
        )

    async def keep(self, name: str, parts: AsyncIterator[bytes], content_type: str) -> str:
        key = f"{self._prefix}/{name}" if self._prefix else name
        try:
            await obstore.put_async(self._store, key, parts, attributes={"Content-Type": content_type})
        except (PermissionDeniedError, UnauthenticatedError, FileNotFoundError) as error:
            message = f"The bucket {self._name} takes no file: {_words(error)}."
            raise Permanent("store_refused", message, scope="provider") from error
        except BaseError as error:
            message = f"The bucket {self._name} could not be written: {_words(error)}."
            raise Transient("store_failed", message) from error
        return f"s3://{self._name}/{key}"


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
