"""Actions of `batchyard bulk`."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import typer

from services.cli.actions.session import connect
from services.cli.client.bulk_documents import BulkAction, BulkActions, Preview
from services.cli.errors import BadInput
from services.cli.rendering.counted import counted
from services.cli.rendering.output import note, say, show, terminal_width, write_json


def run_bulk(ctx: typer.Context, document: dict[str, Any], *, confirmed: bool, json: bool) -> None:
    """Begin an action, or show which batches it would be for."""
    api = connect(ctx)
    if confirmed:
        body = api.send("POST", "/batch-actions", document)
        write_json(body) if json else _print(msgspec.json.decode(body, type=BulkAction))
        return
    body = api.send("POST", "/batch-actions", {**document, "dry_run": True})
    if json:
        write_json(body)
        return
    preview = msgspec.json.decode(body, type=Preview)
    if preview.samples:
        from services.cli.rendering.tables import batches_table  # noqa: PLC0415  # JSON does without it

        show(batches_table(preview.samples, datetime.now(UTC), terminal_width()))
    count = f"{'at least ' if preview.more else ''}{counted(preview.count, 'batch', 'batches')}"
    say(f"{document['action']}: {count}")
    if preview.count:
        note("Nothing was changed. Do it with --yes.")


def show_bulk(ctx: typer.Context, action_id: str, *, json: bool) -> None:
    """Print an action."""
    try:
        path = f"/batch-actions/{UUID(action_id)}"
    except ValueError as error:
        raise BadInput(f"{action_id!r} is not the id of an action.", "See `batchyard bulk list`.") from error
    body = connect(ctx).get(path)
    write_json(body) if json else _print(msgspec.json.decode(body, type=BulkAction))


def list_bulk(ctx: typer.Context, limit: int, *, json: bool) -> None:
    """Print actions."""
    body = connect(ctx).get("/batch-actions", {"limit": limit})
    if json:
        write_json(body)
        return
    actions = msgspec.json.decode(body, type=BulkActions).actions
    for action in actions:
        _print(action)
    if not actions:
        say("There was none in the last 30 days.")


def _print(action: BulkAction) -> None:
    refused = f", {action.refused} refused" if action.refused else ""
    reason = f" ({action.error})" if action.error else ""
    at = f"{action.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
    say(f"{action.id} {action.action} {action.state}: {action.done} done{refused}{reason}, begun {at}")
