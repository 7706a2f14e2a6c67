"""Runs a workload's external-cancel handler for items whose work continues elsewhere: once, without a report."""

import asyncio

import structlog

from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from services.worker.consuming.delivery_tracker import ChunkDelivery
from services.worker.execution.handler_call import handler_context
from services.worker.execution.item_runner import ItemRunner

log = structlog.get_logger()
_ITEM_TIMEOUT_S = 30.0


async def run_external_cancel(runner: ItemRunner, chunk: ChunkReady, delivery: ChunkDelivery) -> None:
    """Run the handler for all items of a chunk concurrently, then acknowledge the chunk."""
    await asyncio.gather(*(_cancel_item(runner, chunk, item) for item in chunk.items))
    await delivery.acknowledge()


async def _cancel_item(runner: ItemRunner, chunk: ChunkReady, item: ChunkItem) -> None:
    handler = runner.workload.external_cancel_handler
    if handler is None:
        return
    try:
        async with asyncio.timeout(_ITEM_TIMEOUT_S):
            await handler(
                runner.workload.item.model_validate(item.payload), handler_context(chunk, item, runner.resources)
            )
    except Exception as error:  # noqa: BLE001  user code: what it does not manage is left as it is
        why = f"{type(error).__name__}: {error}"
        log.warning(
            "external cancel failed",
            workload=chunk.workload,
            batch_id=str(chunk.batch_id),
            ordinal=item.ordinal,
            why=why,
        )
