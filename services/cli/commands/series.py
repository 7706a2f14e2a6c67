"""`batchyard series`: throughput and durations over time."""

from enum import StrEnum
from typing import Annotated

import typer

from services.cli.commands.completion import batch_ids
from services.cli.commands.options import JsonFlag


class SpanName(StrEnum):
    """Times up to now that can be shown."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


def series(
    ctx: typer.Context,
    batch: Annotated[
        str | None,
        typer.Argument(
            metavar="[BATCH]", help="Id of a batch, or `last`; without it all batches.", autocompletion=batch_ids
        ),
    ] = None,
    span: Annotated[SpanName, typer.Option(help="Time up to now, for all batches.")] = SpanName.HOUR,
    owner: Annotated[str | None, typer.Option(metavar="OWNER", help="For operators: only this owner.")] = None,
    destination: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a batch: how long items took at this destination.")
    ] = None,
    points: Annotated[int, typer.Option(min=2, max=300, help="Largest number of lines.")] = 30,
    json: JsonFlag = False,
) -> None:
    """Show how many items ended over time, and how long they took: of one batch, or of all.

    Each line is one step of time. `half within` and `95 % within` are times of
    items, estimated from a sample. Of a batch, `event` names what happened to
    it and to its destinations meanwhile, as `batchyard log` tells.
    """
    from services.cli.actions.series import show_series

    show_series(ctx, batch, span.value, owner, destination, points, json=json)
