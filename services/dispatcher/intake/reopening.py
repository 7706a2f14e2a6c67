"""Runs items again in a new round, with patched payloads if requested.

A patched payload replaces the old one in the transaction that makes its item run. So later attempts, a run after a
crash and later rounds all use the saved payload.
"""

import asyncio
from collections.abc import Sequence

import structlog
from pydantic_core import from_json, to_json

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.partition import Partitioner
from batchyard_contracts.v1.flow import ItemsReopened, SettledItem
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.item_line import is_unreadable
from services.dispatcher.domain.retry_policy import Retry
from services.dispatcher.intake.item_lookup import StoredItem, find_items
from services.dispatcher.persistence.retry_store import PatchedItem
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.settlement.settler import ItemSettler
from services.dispatcher.state.state import DispatcherState
from shared.json.patch import Patch, PatchError

log = structlog.get_logger()
ITEM_DELETED = ItemError(code="item_deleted", message="The item is no longer stored; submit it again in a new batch.")
_ITEMS_PER_SAVE = 100


class ItemReopener:
    """Reopens items. Each step may be repeated: a redelivered message finds the payloads patched for its round."""

    def __init__(self, state: DispatcherState, stores: Stores, settler: ItemSettler) -> None:
        self._state, self._stores, self._settler = state, stores, settler

    async def reopen(self, batch: Batch, message: ItemsReopened) -> None:
        """Save the items as retries in their first attempt. Items that are no longer stored, or that the patch does not
        fit, fail."""
        missing = set(message.ordinals)
        patch = Patch(message.patch, MAX_MESSAGE_BYTES) if message.patch else None
        partitions = Partitioner(self._state.workload_queue(batch.workload).window.manifest)
        async for found in find_items(self._stores, batch.batch_id, message.ordinals):
            for start in range(0, len(found), _ITEMS_PER_SAVE):
                items = found[start : start + _ITEMS_PER_SAVE]
                if patch is not None:
                    items = await self._apply_patch(message, items, patch, partitions)
                changed = [
                    PatchedItem(batch.batch_id, x.ordinal, x.round, x.partition, x.line)
                    for x in items
                    if patch is not None and x.round == message.round
                ]
                await self._stores.retries.save_reopened(
                    [Retry(batch.batch_id, x.ordinal, message.round, x.partition, 1, 0, 0.0, x.line) for x in items],
                    changed,
                )
            missing.difference_update(item.ordinal for item in found)
        if missing:
            await self.fail(message, sorted(missing), ITEM_DELETED)

    async def fail(self, message: ItemsReopened, ordinals: Sequence[int], error: ItemError) -> None:
        """Publish the failure of items that cannot run again."""
        items = [SettledItem(ordinal=ordinal, error=error) for ordinal in ordinals]
        await self._settler.publish(message.batch_id, message.round, "failed", items)

    async def _apply_patch(
        self, message: ItemsReopened, items: Sequence[StoredItem], patch: Patch, partitions: Partitioner
    ) -> list[StoredItem]:
        """Return the items with patched payloads. An item that the patch does not fit fails, although ingest has tried
        the patch."""
        patched: list[StoredItem] = []
        for item in items:
            await asyncio.sleep(0)  # an item may be large: other tasks get a turn after each
            if item.round == message.round or is_unreadable(item.line):
                patched.append(item)
                continue
            fields = from_json(item.line)
            try:
                fields["payload"] = patch.apply(fields["payload"])
            except PatchError as error:
                log.warning("patch not applicable", batch_id=str(message.batch_id), ordinal=item.ordinal)
                not_applicable = ItemError(
                    code="patch_not_applicable", message=f"The patch does not apply to this item: {error}"
                )
                await self.fail(message, [item.ordinal], not_applicable)
                continue
            line = to_json(fields, inf_nan_mode="null")
            patched.append(StoredItem(item.ordinal, partitions.partition_of(fields["payload"]), line, message.round))
        return patched
