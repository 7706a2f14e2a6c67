"""`batchyard results`: the outcomes of a batch, in a chosen format."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.completion import result_formats
from services.cli.commands.options import BatchId, OrderName, StatusName


def results(
    ctx: typer.Context,
    batch: BatchId,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="ndjson|json|csv|parquet|cue|…",
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
    custom_id: Annotated[str | None, typer.Option("--custom-id", help="Only the items with this id of yours.")] = None,
    of_round: Annotated[
        int | None,
        typer.Option("--round", min=1, help="Only results of this round, also those that a retry has replaced."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Write results as items end, until the batch has ended. NDJSON.")
    ] = False,
    order: Annotated[
        OrderName | None,
        typer.Option(help="The order of the items, or of their ends. Default: with --follow completion, else ordinal."),
    ] = None,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Continue after the result that has this `cursor`.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Write the results of a batch, one for each item, in the order of the items.

    Exports such as cue have a file for each item: they are unpacked into the folder
    --output, by default one named after the batch. While the batch runs, these are
    the items that have ended so far; with --follow the others come as they end.

    Results that are read with --follow, --order, --cursor, --custom-id or --round
    have a `cursor`. After an interruption --cursor continues after the last one.

    Examples

      batchyard results last --format csv --output results.csv
      batchyard results last --status failed | jq -r .error.code | sort | uniq -c
      batchyard results last --format cue --output sheets/
      batchyard results last --follow | jq -c '[.ordinal, .status]'
    """
    from services.cli.actions.follow_results import follow_results
    from services.cli.actions.results import ResultSelection, fetch
    from services.cli.errors import BadInput

    if json and format_ not in {None, "json"}:
        raise BadInput(f"--json and --format {format_} exclude each other.", "Give one of them.")
    chosen = "json" if json else format_ or "ndjson"
    if follow and chosen != "ndjson":
        raise BadInput(f"--follow writes NDJSON, not {chosen}.", "Leave out --format, or read the results at the end.")
    if cursor is not None and after != -1:
        raise BadInput("--cursor and --after exclude each other.", "Give one of them.")
    selection = ResultSelection(
        format=chosen,
        status=status.value if status else None,
        code=code,
        cause=cause,
        after=after,
        custom_id=custom_id,
        round=of_round,
        order=order.value if order else None,
        cursor=cursor,
    )
    if follow:
        follow_results(ctx, batch, selection, output)
    else:
        fetch(ctx, batch, selection, output)
