"""`batchyard pause`, `resume`, `cancel`, `retry` and `priority`: steer a batch."""

from typing import Annotated, Any

import typer

from services.cli.options import BatchId, JsonFlag, PriorityName


def pause(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Pause a batch: what runs ends, nothing more is given out."""
    _steer(ctx, batch, "POST", "/pause", "pausing", json=json)


def resume(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Go on with a paused batch."""
    _steer(ctx, batch, "POST", "/resume", "going on", json=json)


def cancel(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Cancel a batch. Results that were made before are kept."""
    _steer(ctx, batch, "POST", "/cancel", "cancelling", json=json)


def retry(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Run what did not succeed in a finished batch once more, as a new round of the same batch."""
    from services.cli.retrying import retry_batch

    retry_batch(ctx, batch, json=json)


def priority(
    ctx: typer.Context,
    batch: BatchId,
    level: Annotated[PriorityName, typer.Argument(help="The new priority.")],
    json: JsonFlag = False,
) -> None:
    """Change the priority of what a batch has still to do."""
    _steer(ctx, batch, "PATCH", "", f"priority {level.value}", {"priority": level.value}, json=json)


def _steer(
    ctx: typer.Context, batch: str, method: str, path: str, words: str, document: Any = None, *, json: bool
) -> None:
    from services.cli.door import Door
    from services.cli.session import at_yard, out, resolve, write_json

    async def use(door: Door) -> None:
        batch_id = await resolve(door, batch)
        body = await door.send(method, f"/batches/{batch_id}{path}", document)
        if json:
            write_json(body)
        else:
            out().print(f"{batch_id}: {words}")

    at_yard(ctx, use)
