"""Streams a finished clip from its provider into the store."""

from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote, unquote_to_bytes

from aiohttp import ClientError, ClientResponse

from batchyard_contracts.workload import Permanent, Transient
from services.worker.workloads.videos.artefacts.kinds import NEEDED, kind_of
from services.worker.workloads.videos.artefacts.store import ClipStore, Measured
from services.worker.workloads.videos.providers.provider import ProviderJob, VideoProvider
from services.worker.workloads.videos.providers.verdict import of_call
from shared.http.failure_words import failure_words

_PART = 1024 * 1024
_NOT_READY = frozenset({202, 204, 404, 409, 423, 425})
"""Statuses by which providers say for a while that the file of a finished job is not there yet."""


class NotReady(Exception):
    """The file of a finished job is not there yet; `error` is what it comes to if it never is."""

    def __init__(self, error: Permanent) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, slots=True)
class StoredFile:
    """File in the store."""

    uri: str
    bytes: int
    sha256: str
    content_type: str


async def download(provider: VideoProvider, job: ProviderJob, store: ClipStore, name: str, most: int) -> StoredFile:
    """Download a clip. Raises `Transient` when it breaks off, `NotReady` when another answer comes in its place, and
    `Permanent` when it is gone or too large."""
    if job.address and job.address.startswith("data:"):
        return await keep(_decoded(job.address), store, name, most)
    async with provider.content(job) as response:
        if response.status in {404, 410}:
            message = "The job succeeded, and its file is gone: providers keep files for a short time."
            gone = Permanent("artefact_expired", message)
            raise gone if response.status == 410 else NotReady(gone)
        if response.status in _NOT_READY:
            said = f"The job succeeded, and its file was answered with status {response.status}."
            raise NotReady(Permanent("artefact_unavailable", said))
        if not 200 <= response.status < 300:
            raise of_call(response.status, response.headers, None, datetime.now(UTC))
        if (response.content_length or 0) > most:
            raise Permanent("artefact_too_large", f"The clip has {response.content_length} bytes, {most} are allowed.")
        return await keep(_parts(response), store, name, most)


async def keep(parts: AsyncIterator[bytes], store: ClipStore, name: str, most: int) -> StoredFile:
    """Store a file if it is a clip."""
    start = b""
    async for part in parts:
        start += part
        if len(start) >= NEEDED:
            break
    kind = kind_of(start)
    if kind is None:
        begins = start[:100].decode("utf-8", "replace")
        message = f"The provider sent no file that is known as a clip. It begins: {begins}"
        raise NotReady(Permanent("invalid_artefact", message))
    measured = Measured(_chained(start, parts), most)
    uri = await store.keep(name + kind.suffix, aiter(measured), kind.content_type)
    return StoredFile(uri, measured.bytes, measured.sha256, kind.content_type)


async def _parts(response: ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for part in response.content.iter_chunked(_PART):
            yield part
    except (ClientError, OSError) as error:
        raise Transient("download_interrupted", f"The download broke off: {failure_words(error)}.") from error


async def _decoded(address: str) -> AsyncIterator[bytes]:
    """Decode a data URI (RFC 2397)."""
    head, _, data = address.partition(",")
    try:
        whole = b64decode(unquote(data)) if head.endswith(";base64") else unquote_to_bytes(data)
    except ValueError as error:
        raise Permanent("invalid_artefact", "The provider sent a data URI that cannot be decoded.") from error
    for start in range(0, len(whole), _PART):
        yield whole[start : start + _PART]


async def _chained(start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield start
    async for part in rest:
        yield part
