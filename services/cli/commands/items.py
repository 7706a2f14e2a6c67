"""`batchyard items`: the items of a batch, also those that have not ended."""

from enum import StrEnum
from typing import Annotated

import typer

from services.cli.commands.options import BatchId, JsonFlag


class ItemStateName(StrEnum):
    """States by which items are found."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"


def items(
    ctx: typer.Context,
    batch: BatchId,
    item: Annotated[int | None, typer.Argument(min=0, metavar="[N]", help="Only this item, with its payload.")] = None,
    state: Annotated[ItemStateName | None, typer.Option(help="Only items in this state.")] = None,
    cause: Annotated[str | None, typer.Option(metavar="CAUSE", help="Only failures with this cause.")] = None,
    partition: Annotated[str | None, typer.Option(metavar="NAME", help="Only items of this destination.")] = None,
    custom_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Only the item with this id.")] = None,
    after: Annotated[int, typer.Option(min=-1, metavar="N", help="Only items after this one.")] = -1,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Largest number of items.")] = 50,
    json: JsonFlag = False,
) -> None:
    """Show the items of a batch, also those that wait, run or are tried again; with a number one item, and its payload.

    Items are counted from 0.
    """
    from services.cli.actions.items import list_items, show_item

    if item is not None:
        show_item(ctx, batch, item, json=json)
        return
    query = {"state": state.value if state else None, "cause": cause, "partition": partition, "custom_id": custom_id}
    list_items(ctx, batch, {**query, "after": after, "limit": limit}, json=json)
