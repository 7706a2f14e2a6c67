"""`batchyard results`: the outcomes of a batch, in the format that is asked for."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.parsing.options import BatchId, StatusName


def results(
    ctx: typer.Context,
    batch: BatchId,
    format_: Annotated[
        str, typer.Option("--format", metavar="ndjson|json|csv|cue|…", help="Or an export that the workload names.")
    ] = "ndjson",
    status: Annotated[StatusName | None, typer.Option(help="Only items that ended so.")] = None,
    error_code: Annotated[
        str | None, typer.Option(help="Only items with this cause; see `batchyard failures`.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; for cue and other exports a folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Write the results of a batch, one for each item, in the order of the items.

    Exports like cue are a file for each item: they are unpacked into the folder
    that --output names, else into one that is named after the batch. While the
    batch still runs, this is what has ended so far.

    [bold]Examples[/bold]

      batchyard results last --format csv --output results.csv
      batchyard results last --status failed | jq -r .error.code | sort | uniq -c
      batchyard results last --format cue --output sheets/
    """
    from services.cli.actions.results import Wanted, fetch

    chosen = "json" if json else format_
    fetch(ctx, batch, Wanted(chosen, status.value if status else None, error_code), output)
