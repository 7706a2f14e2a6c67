"""Brings a finished clip from its provider into the store, as it streams in."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import ClientError, ClientResponse

from batchyard_contracts.workload import Permanent, Transient
from services.worker.workloads.videos.artefacts.kinds import NEEDED, kind_of
from services.worker.workloads.videos.artefacts.store import Measured, Store
from services.worker.workloads.videos.providers.provider import ProviderJob, VideoProvider
from services.worker.workloads.videos.providers.verdict import of_call

_PART = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """File in the store."""

    uri: str
    bytes: int
    sha256: str
    content_type: str


async def download(provider: VideoProvider, job: ProviderJob, store: Store, name: str, most: int) -> Kept:
    """Download a clip. Raises `Transient` when it breaks off, `Permanent` when it is gone, too large, or no clip."""
    async with provider.content(job) as response:
        if response.status in {404, 410}:
            message = "The job succeeded, and its file is gone: providers keep files for a short time."
            raise Permanent("artefact_expired", message)
        if not 200 <= response.status < 300:
            raise of_call(response.status, response.headers, None, datetime.now(UTC))
        if (response.content_length or 0) > most:
            raise Permanent("artefact_too_large", f"The clip has {response.content_length} bytes, {most} are allowed.")
        return await keep(_parts(response), store, name, most)


async def keep(parts: AsyncIterator[bytes], store: Store, name: str, most: int) -> Kept:
    """Take a file into the store, if it is a clip."""
    start = b""
    async for part in parts:
        start += part
        if len(start) >= NEEDED:
            break
    kind = kind_of(start)
    if kind is None:
        raise Permanent("invalid_artefact", "What the provider sent is no file that is known as a clip.")
    measured = Measured(_chained(start, parts), most)
    uri = await store.keep(name + kind.suffix, aiter(measured), kind.content_type)
    return Kept(uri, measured.bytes, measured.sha256, kind.content_type)


async def _parts(response: ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for part in response.content.iter_chunked(_PART):
            yield part
    except (ClientError, OSError) as error:
        raise Transient("download_interrupted", f"The download broke off: {type(error).__name__}.") from error


async def _chained(start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield start
    async for part in rest:
        yield part
