"""Lets items run again in a new round, with their payloads patched if that was asked for.

A patched payload is kept in place of the old one, in the transaction that makes its item run: what runs is what was
saved, also in later attempts, after a crash, and in the rounds that follow.
"""

import asyncio
from collections.abc import Sequence

import structlog
from pydantic_core import from_json, to_json

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.partition import Partitions
from batchyard_contracts.v1.flow import ItemsReopened, SettledItem
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.intake.item_lookup import Kept, find
from services.dispatcher.persistence.store import Patched, Retry, Store
from services.dispatcher.settlement.settler import Settlement
from services.dispatcher.state.state import Batch, Yard
from shared.json.patch import Patch, PatchError

log = structlog.get_logger()
GONE = ItemError(code="item_gone", message="The item is no longer kept; submit it again in a new batch.")
_TURN = 100
"""Items that are patched before others get their turn."""


class Reopening:
    """Every step may be repeated: a message that comes again finds the payloads that were patched for its round."""

    def __init__(self, yard: Yard, store: Store, settlement: Settlement) -> None:
        self._yard, self._store, self._settlement = yard, store, settlement

    async def run(self, batch: Batch, message: ItemsReopened) -> None:
        """Let items run from their first attempt. Those that are no longer kept, or not as they should be, fail."""
        missing = set(message.ordinals)
        patch = Patch(message.patch, MAX_MESSAGE_BYTES) if message.patch else None
        partitions = Partitions(self._yard.line(batch.workload).window.manifest)
        async for found in find(self._store, batch.batch_id, message.ordinals):
            for start in range(0, len(found), _TURN):
                items = found[start : start + _TURN]
                if patch is not None:
                    items = await self._patched(message, items, patch, partitions)
                    await asyncio.sleep(0)
                changed = [
                    Patched(batch.batch_id, x.ordinal, x.round, x.partition, x.line)
                    for x in items
                    if patch is not None and x.round == message.round
                ]
                await self._store.run_again(
                    [Retry(batch.batch_id, x.ordinal, x.partition, 1, 0, 0.0, x.line) for x in items], changed
                )
            missing.difference_update(item.ordinal for item in found)
        if missing:
            await self.fail(message, sorted(missing), GONE)

    async def fail(self, message: ItemsReopened, ordinals: Sequence[int], error: ItemError) -> None:
        """End items that cannot run again."""
        items = [SettledItem(ordinal=ordinal, error=error) for ordinal in ordinals]
        await self._settlement.tell(message.batch_id, message.round, "failed", items)

    async def _patched(
        self, message: ItemsReopened, items: Sequence[Kept], patch: Patch, partitions: Partitions
    ) -> list[Kept]:
        """The items with their new payloads. One that the patch does not fit, though ingest has tried it, fails."""
        done: list[Kept] = []
        for item in items:
            if item.round == message.round:
                done.append(item)
                continue
            fields = from_json(item.line)
            try:
                fields["payload"] = patch.apply(fields["payload"])
            except PatchError as error:
                log.warning("patch does not fit", batch_id=str(message.batch_id), ordinal=item.ordinal)
                unfit = ItemError(code="patch_unfit", message=f"The patch does not fit this item: {error}")
                await self.fail(message, [item.ordinal], unfit)
                continue
            line = to_json(fields, inf_nan_mode="null")
            done.append(Kept(item.ordinal, partitions.of(fields["payload"]), line, message.round))
        return done
