"""Adds the items that a source or a remote file has to its batch; those that are invalid end as failed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from batchyard_contracts.v1.flow import SettledItem
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.item import ValidatedItem
from services.ingest.domain.pager import EncodedMessage, encode_pages, fingerprints_of
from services.ingest.domain.volume import volume_of
from services.ingest.persistence.store import LockedBatch
from services.ingest.submission.dedup_index import DedupIndex
from services.ingest.submission.seal import settled_messages


class AppendedItems(NamedTuple):
    """The batch with its new items, the messages about them, and their new fingerprints."""

    header: BatchHeader
    messages: list[EncodedMessage]
    fingerprints: dict[bytes, int]


class FoundItems:
    """Adder of items within the transaction that locks their batch."""

    def __init__(self, dedup_index: DedupIndex) -> None:
        self._dedup_index = dedup_index

    async def append(
        self,
        locked: LockedBatch,
        header: BatchHeader,
        valid: Sequence[ValidatedItem],
        invalid: Sequence[SettledItem],
        sequence: int,
        digest: bytes,
    ) -> AppendedItems:
        """Record items under the sequence number of their part."""
        known = await self._dedup_index.lookup(header.batch_id, fingerprints_of(valid))
        encoded = encode_pages(
            header.batch_id, header.workload, valid, header.pages, known, with_keys=header.reuse.has_claims
        )
        updated = replace(
            header,
            items=header.items + len(valid) + len(invalid),
            pages=header.pages + encoded.pages,
            size=header.size + volume_of(valid).size,
        )
        await locked.record_append(updated, sequence, digest)
        messages = [*encoded.messages, *settled_messages(header.batch_id, "failed", invalid)]
        return AppendedItems(updated, messages, encoded.new_fingerprints)
