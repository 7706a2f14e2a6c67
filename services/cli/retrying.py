"""The work of `batchyard retry`: asks for another round, and stays until it is open, so that `watch` can follow."""

import asyncio

import typer

from batchyard_contracts.v1.queries import BatchState
from services.cli.door import Door
from services.cli.session import at_yard, out, resolve, write_json

OPEN_WITHIN_S = 10.0
_POLL_S = 0.1


def retry_batch(ctx: typer.Context, batch: str, *, json: bool) -> None:
    """Run again what did not succeed. A batch of which everything succeeded stays as it is."""

    async def use(door: Door) -> None:
        batch_id = await resolve(door, batch)
        before = await _state(door, batch_id)
        body = await door.send("POST", f"/batches/{batch_id}/retry")
        left = before.counts.failed + before.counts.expired + before.counts.cancelled
        if left:
            await _until_open(door, batch_id, before.round)
        if json:
            write_json(body)
        else:
            out().print(f"{batch_id}: running {left} items again" if left else f"{batch_id}: nothing to run again")

    at_yard(ctx, use)


async def _until_open(door: Door, batch_id: str, round_: int) -> None:
    """The command is durable already; that the round is not open in time is no error."""
    try:
        async with asyncio.timeout(OPEN_WITHIN_S):
            while True:
                if (await _state(door, batch_id)).round > round_:
                    return
                await asyncio.sleep(_POLL_S)  # HTTP has no way to be told
    except TimeoutError:
        return


async def _state(door: Door, batch_id: str) -> BatchState:
    return BatchState.model_validate_json(await door.get(f"/batches/{batch_id}"))
