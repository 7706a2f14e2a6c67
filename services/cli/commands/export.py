"""`batchyard export`: the results of a batch as files with a manifest."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.options import BatchId, JsonFlag, StatusName


class ExportFormatName(StrEnum):
    """Formats of exports."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


def export(
    ctx: typer.Context,
    batch: BatchId,
    format_: Annotated[ExportFormatName, typer.Option("--format", help="Format of the files.")] = (
        ExportFormatName.NDJSON
    ),
    status: Annotated[StatusName | None, typer.Option(help="Only items with this status.")] = None,
    code: Annotated[str | None, typer.Option(help="Only items with this error code; see `batchyard failures`.")] = None,
    cause: Annotated[str | None, typer.Option(help="Only items with this cause, as `failures` names it.")] = None,
    of_round: Annotated[int | None, typer.Option("--round", min=1, help="Only results of this round.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A folder.")] = None,
    export_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Go on with this export, as after an interruption.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the files and fetch them.")] = True,
    json: JsonFlag = False,
) -> None:
    """Export the results of a batch as files with a manifest.

    The server writes files of about 64 MiB in the background. They are fetched into
    the folder --output, by default one named after the batch, and compared with
    their digests. What has arrived is kept: the same command with --id goes on.

    Examples

      batchyard export last --format parquet --output sets/
      batchyard export last --status failed --format csv --no-wait
    """
    from uuid import UUID

    from services.cli.actions.export import export as run
    from services.cli.errors import BadInput

    try:
        chosen = None if export_id is None else str(UUID(export_id))
    except ValueError as error:
        raise BadInput(f"{export_id!r} is not the id of an export.", "Leave out --id to begin one.") from error
    form: dict[str, str | int | None] = {
        "format": format_.value,
        "status": status.value if status else None,
        "error_code": code,
        "cause": cause,
        "round": of_round,
    }
    run(ctx, batch, form, export_id=chosen, output=output, wait=wait, json=json)
