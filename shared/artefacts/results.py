"""Keeps large results of items in the store of artefacts, where tables and messages have only a reference to each.

A result lies under its SHA-256 in a folder of its batch. So equal results of a batch are one file, which goes with the
batch and its outcomes, and no reference leads to a result of another batch.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID

from pydantic_core import from_json

from batchyard_contracts.json_depth import is_deeper
from batchyard_contracts.v1.values import MAX_RESULT_BYTES, MAX_RESULT_DEPTH, StoredResult
from shared.artefacts.store import ArtefactStore, FileLost, StoreFailed, StorePlace, StoreRefused, fault_of, open_store
from shared.runtime.errors import ConfigurationError, MessageRejected

INLINE_BYTES = 64 * 1024
"""Size of a result in bytes of JSON up to which it stays in messages and rows."""
_AT_A_TIME = 8


class ResultsAway(MessageRejected):
    """The store of large results cannot be used for now, so that they cannot be read. Try again in a moment."""

    is_retryable = True


class ResultStore:
    """Large results of all batches."""

    def __init__(self, files: ArtefactStore) -> None:
        self._files = files
        self._turns = asyncio.Semaphore(_AT_A_TIME)

    @classmethod
    def open(cls, place: StorePlace) -> "ResultStore | None":
        """Open the store at a place; None if it has no name. Raises `ConfigurationError` if a library is missing.

        A folder is made here, so that one that is not there later is away, and not empty.
        """
        if not place.store:
            return None
        if place.bucket is None:
            with suppress(OSError):
                place.folder.mkdir(parents=True, exist_ok=True)
        elif fault := fault_of(place):
            raise ConfigurationError(f"BATCHYARD_RESULTS_STORE {fault} where this service runs.")
        return cls(open_store(place))

    async def keep(self, batch_id: UUID, result: bytes) -> StoredResult | None:
        """Store a result and return its reference; None if no reader could read it. Raises `StoreFailed` and
        `StoreRefused`."""
        if len(result) > MAX_RESULT_BYTES or is_deeper(result, MAX_RESULT_DEPTH):
            return None
        reference = StoredResult(sha256=hashlib.sha256(result).hexdigest(), bytes=len(result))
        async with self._turns:
            await self._files.keep(_name(batch_id, reference.sha256), _only(result), "application/json")
        return reference

    async def read(self, batch_id: UUID, references: Sequence[StoredResult]) -> dict[StoredResult, bytes | None]:
        """Read results; None in place of one that is lost, or is not what was stored. Raises `ResultsAway`."""
        with _readable():
            found = await asyncio.gather(*(self._read(batch_id, one) for one in references))
        return dict(zip(references, found, strict=True))

    async def _read(self, batch_id: UUID, reference: StoredResult) -> bytes | None:
        try:
            async with self._turns:
                pieces = self._files.read(_name(batch_id, reference.sha256), 0, reference.bytes)
                result = b"".join([piece async for piece in pieces])
        except FileLost:
            return None
        return result if await asyncio.to_thread(_is_intact, result, reference) else None

    async def delete(self, batch_id: UUID, most: int) -> int:
        """Delete results of a batch, at most so many, and return their number. Raises `ResultsAway`."""
        with _readable():
            names = await self._files.names(str(batch_id), most)
            await self._files.delete(names)
        return len(names)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (StoreFailed, StoreRefused) as error:
        raise ResultsAway(f"{error} Large results are there; try again in a moment.") from error


def _name(batch_id: UUID, sha256: str) -> str:
    return f"{batch_id}/{sha256}"


async def _only(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _is_intact(result: bytes, reference: StoredResult) -> bool:
    """Tell whether a file has the content of its name, and is JSON that can be a part of a message."""
    if hashlib.sha256(result).hexdigest() != reference.sha256:
        return False
    try:
        from_json(result, allow_inf_nan=False)
    except ValueError:
        return False
    return not is_deeper(result, MAX_RESULT_DEPTH)
