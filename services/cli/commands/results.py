"""`batchyard results`: the outcomes of a batch, in a chosen format."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.completion import result_formats
from services.cli.commands.options import BatchId, StatusName


def results(
    ctx: typer.Context,
    batch: BatchId,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="ndjson|json|csv|cue|…",
            help="Format, or an export of the workload. Default: ndjson.",
            autocompletion=result_formats,
        ),
    ] = None,
    status: Annotated[StatusName | None, typer.Option(help="Only items with this status.")] = None,
    code: Annotated[str | None, typer.Option(help="Only items with this error code; see `batchyard failures`.")] = None,
    cause: Annotated[str | None, typer.Option(help="Only items with this cause, as `failures` names it.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; for cue and other exports a folder.")
    ] = None,
    after: Annotated[
        int, typer.Option(min=-1, help="Only items after this one, to continue: the ordinal of the last one you have.")
    ] = -1,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Write the results of a batch, one for each item, in the order of the items.

    Exports such as cue have a file for each item: they are unpacked into the folder
    --output, by default one named after the batch. While the batch runs, these are
    the items that have ended so far.

    Examples

      batchyard results last --format csv --output results.csv
      batchyard results last --status failed | jq -r .error.code | sort | uniq -c
      batchyard results last --format cue --output sheets/
    """
    from services.cli.actions.results import ResultSelection, fetch
    from services.cli.errors import BadInput

    if json and format_ not in {None, "json"}:
        raise BadInput(f"--json and --format {format_} exclude each other.", "Give one of them.")
    chosen = "json" if json else format_ or "ndjson"
    fetch(ctx, batch, ResultSelection(chosen, status.value if status else None, code, cause, after), output)
