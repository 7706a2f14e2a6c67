"""`batchyard list`, `show`, `watch` and `failures`: what is known of batches."""

from typing import Annotated

import typer

from services.cli.parsing.options import BatchId, BatchStatusName, JsonFlag


def list_(
    ctx: typer.Context,
    status: Annotated[BatchStatusName | None, typer.Option(help="Only batches in this state.")] = None,
    workload: Annotated[str | None, typer.Option(help="Only batches of this workload.")] = None,
    before: Annotated[str | None, typer.Option(metavar="BATCH", help="Only batches older than this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    json: JsonFlag = False,
) -> None:
    """List batches, the newest first."""
    from datetime import UTC, datetime

    from batchyard_contracts.v1.queries import BatchesReply
    from services.cli.client.session import at_yard, out, write_json
    from services.cli.rendering.tables import batches_table

    query = {"status": status and status.value, "workload": workload, "before": before, "limit": limit}
    body = at_yard(ctx, lambda door: door.get("/batches", query))
    if json:
        write_json(body)
        return
    found = BatchesReply.decode(body).batches
    if found:
        console = out()
        console.print(batches_table(found, datetime.now(UTC), console.width))
    else:
        out().print("No batch fits. Submit one: `batchyard submit --help`.")


def show(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Show one batch: its state and why it was stopped, its counts, its terms, how long it took."""
    from batchyard_contracts.v1.queries import BatchState
    from services.cli.client.http_client import Door
    from services.cli.client.session import at_yard, out, resolve, write_json
    from services.cli.rendering.tables import batch_block

    async def use(door: Door) -> bytes:
        return await door.get(f"/batches/{await resolve(door, batch)}")

    body = at_yard(ctx, use)
    if json:
        write_json(body)
    else:
        out().print(batch_block(BatchState.model_validate_json(body)))


def watch(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Watch a batch until it has ended: exit code 0 if it completed, else 1."""
    from services.cli.actions.watch import watch_batch
    from services.cli.client.http_client import Door
    from services.cli.client.session import at_yard, resolve

    async def use(door: Door) -> None:
        batch_id = await resolve(door, batch)
        await watch_batch(door, batch_id, batch_id, json=json)

    at_yard(ctx, use)


def failures(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Show what failed in a batch, grouped by cause, and the command that runs each group again.

    A cause is an error code, the message without its numbers, ids and addresses,
    and a partition: the destination that the items went to.
    """
    from batchyard_contracts.v1.queries import FailuresReply
    from services.cli.client.http_client import Door
    from services.cli.client.session import at_yard, out, resolve, write_json
    from services.cli.rendering.tables import failures_table

    async def use(door: Door) -> tuple[str, bytes]:
        batch_id = await resolve(door, batch)
        return batch_id, await door.get(f"/batches/{batch_id}/failures")

    batch_id, body = at_yard(ctx, use)
    if json:
        write_json(body)
    else:
        out().print(failures_table(batch_id, FailuresReply.decode(body).groups))
