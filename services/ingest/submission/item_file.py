"""A file of items that a client submits, as it arrives."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from batchyard_contracts.v1.commands import BatchSubmit
from services.ingest.domain.readers.rows import Reader, Row
from services.ingest.domain.rejection import Rejection
from services.ingest.persistence.workload_registry import RegisteredWorkload

Rows = AsyncIterator[Iterator[Row | Rejection]]
"""Rows of a file, those of each chunk together."""


@dataclass(frozen=True, slots=True)
class ItemFile:
    """A file of items, and the command of its batch."""

    command: BatchSubmit
    """The command, without items."""
    media_type: str
    reader_for: Callable[[RegisteredWorkload], Reader]
    """Makes the reader of its items, for the workload of the batch."""
    chunks: AsyncIterator[bytes]
    """Its content, which can be read once."""

    async def rows(self, workload: RegisteredWorkload) -> Rows:
        """Yield the rows that each chunk completes; raises `IngestError` when the client stops sending."""
        reader = self.reader_for(workload)
        async for chunk in self.chunks:
            yield reader.feed(chunk)
        yield reader.finish()
