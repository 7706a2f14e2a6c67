"""`batchyard audit`: who changed what."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.options import JsonFlag

_EXPORT_S = 3600.0


def audit(
    ctx: typer.Context,
    owner: Annotated[str | None, typer.Option(help="Only what concerns this owner (for operators).")] = None,
    all_: Annotated[bool, typer.Option("--all", help="What concerns all owners (for operators).")] = False,
    actor: Annotated[str | None, typer.Option(help="Only commands of this owner.")] = None,
    key: Annotated[str | None, typer.Option(help="Only commands by the API key with this id.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as batch.cancel.")] = None,
    object_: Annotated[str | None, typer.Option("--object", help="Only this batch, key, workload or queue.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only from this time on: 2026-12-24T18:00.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only before this time.")] = None,
    before: Annotated[int | None, typer.Option(min=1, metavar="ID", help="Only entries before this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Number of entries to show.")] = 50,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write all entries to this file, as NDJSON.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Show who changed what, the newest first: when, from where, by which key.

    It has commands of all clients, by HTTP and AMQP, but no payloads and no secrets.

    Examples

      batchyard audit --action batch.cancel
      batchyard audit --all --since 2026-12-01 --output audit.ndjson
    """
    import msgspec

    from services.cli.actions.session import connect
    from services.cli.parsing.terms import moment_of
    from services.cli.rendering.audit_table import audit_table
    from services.cli.rendering.output import note, note_more, show, write_json

    query: dict[str, str | int | list[str] | None] = {
        "owner": owner,
        "actor": actor,
        "key_id": key,
        "action": action,
        "object": object_,
        "since": moment_of(since),
        "until": moment_of(until),
        "before": before,
    }
    api = connect(ctx, as_operator=all_ or owner is not None)
    if output is not None:
        entries = api.get("/audit", {**query, "format": "ndjson"}, answer_s=_EXPORT_S)
        output.write_bytes(entries)
        note(f"{output}: {len(entries.splitlines())} entries")
        return
    body = api.get("/audit", {**query, "limit": limit})
    if json:
        write_json(body)
        return
    page = msgspec.json.decode(body)
    show(audit_table(page["entries"]))
    note_more(page, "next_before", "--before")
