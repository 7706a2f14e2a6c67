"""`batchyard list`, `show`, `watch` and `failures`: the state of batches."""

from typing import Annotated

import typer

from services.cli.parsing.options import BatchId, BatchStatusName, JsonFlag


def list_(
    ctx: typer.Context,
    status: Annotated[BatchStatusName | None, typer.Option(help="Only batches in this state.")] = None,
    workload: Annotated[str | None, typer.Option(help="Only batches of this workload.")] = None,
    before: Annotated[str | None, typer.Option(metavar="BATCH", help="Only batches older than this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Largest number of batches.")] = 20,
    json: JsonFlag = False,
) -> None:
    """List batches, the newest first."""
    from datetime import UTC, datetime

    from batchyard_contracts.v1.queries import BatchesReply
    from services.cli.client.session import out, use_api, write_json
    from services.cli.rendering.tables import batches_table

    query = {"status": status and status.value, "workload": workload, "before": before, "limit": limit}
    body = use_api(ctx, lambda client: client.get("/batches", query))
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
    """Show one batch: its state, counts, terms and duration, and the reason why it was stopped."""
    from batchyard_contracts.v1.queries import BatchState
    from services.cli.client.http_client import HttpClient
    from services.cli.client.session import out, resolve, use_api, write_json
    from services.cli.rendering.tables import batch_block

    async def use(client: HttpClient) -> bytes:
        return await client.get(f"/batches/{await resolve(client, batch)}")

    body = use_api(ctx, use)
    if json:
        write_json(body)
    else:
        out().print(batch_block(BatchState.model_validate_json(body)))


def watch(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Watch a batch until it has finished: exit code 0 if it completed, else 1."""
    from services.cli.actions.watch import watch_batch
    from services.cli.client.http_client import HttpClient
    from services.cli.client.session import resolve, use_api

    async def use(client: HttpClient) -> None:
        batch_id = await resolve(client, batch)
        await watch_batch(client, batch_id, batch_id, json=json)

    use_api(ctx, use)


def failures(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Show the failures of a batch, grouped by cause, and the command that retries each group.

    A cause consists of the error code, the message without numbers, ids and
    addresses, and the partition: the destination of the items.
    """
    from batchyard_contracts.v1.queries import FailuresReply
    from services.cli.client.http_client import HttpClient
    from services.cli.client.session import out, resolve, use_api, write_json
    from services.cli.rendering.tables import failures_table

    async def use(client: HttpClient) -> tuple[str, bytes]:
        batch_id = await resolve(client, batch)
        return batch_id, await client.get(f"/batches/{batch_id}/failures")

    batch_id, body = use_api(ctx, use)
    if json:
        write_json(body)
    else:
        out().print(failures_table(batch_id, FailuresReply.decode(body).groups))
