"""`batchyard top`: the overview and a batch as a live page in the terminal."""

from typing import Annotated

import typer

from services.cli.commands.completion import batch_ids


def top(
    ctx: typer.Context,
    batch: Annotated[
        str | None,
        typer.Argument(
            metavar="[BATCH]", help="Id of a batch, or `last`; without it all batches.", autocompletion=batch_ids
        ),
    ] = None,
    owner: Annotated[str | None, typer.Option(metavar="OWNER", help="For operators: only this owner.")] = None,
) -> None:
    """Show what runs as a live page in the terminal, with keys as in the dashboard.

    j and k go through the batches, Enter opens one, Escape goes back, p pauses or
    resumes, l turns updates off and on, t changes the theme, q ends it.
    """
    from services.cli.actions.top import run_top

    run_top(ctx, batch, owner)
