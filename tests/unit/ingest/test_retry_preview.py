"""The preview of a patch shares its process with other requests."""

import asyncio
from types import SimpleNamespace
from unittest.mock import create_autospec

from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.queries import ItemsQuery, ItemsReply, SelectionQuery, SelectionReply, StoredItem
from services.ingest.control.retry_preview import RetryPreviewer
from services.ingest.domain.item_validator import ItemValidator
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.queries.aggregator_client import AggregatorClient
from tests.unit.ingest.test_batch_header import header

ITEMS = 200


async def test_other_requests_get_a_turn_after_each_item_of_a_preview() -> None:
    async def selection(query: SelectionQuery) -> SelectionReply:
        return SelectionReply(ordinals=list(range(ITEMS)))

    async def items(query: ItemsQuery) -> ItemsReply:
        return ItemsReply(items=[StoredItem(ordinal=n, payload={"n": n}) for n in query.ordinals])

    aggregator = create_autospec(AggregatorClient, instance=True)
    aggregator.selection, aggregator.items = selection, items
    validator = ItemValidator(Manifest(name="w", version="1", item_schema={"type": "object"}, result_schema={}))
    registry = create_autospec(WorkloadRegistry, instance=True)
    registry.get.return_value = SimpleNamespace(validator=validator)
    turns = 0

    async def other_request() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(other_request())
    preview = await RetryPreviewer(aggregator, registry).preview_patch(
        header(), None, [{"op": "replace", "path": "/n", "value": 7}]
    )
    other.cancel()
    assert (preview.items, preview.samples[2].after) == (ITEMS, {"n": 7})
    assert turns >= ITEMS
