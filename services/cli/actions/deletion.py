"""Action of `batchyard delete`."""

import time

import msgspec
import typer

from services.cli.actions.session import connect, resolve
from services.cli.client.api import Api
from services.cli.client.deletion_documents import BatchDeletion
from services.cli.errors import BadInput
from services.cli.rendering.output import note, say, write_json

_POLL_S = 0.2
_PATIENCE_S = 60.0


def delete_batch(ctx: typer.Context, batch: str, owner: str | None, *, yes: bool, json: bool) -> None:
    """Delete a batch, and print what was deleted."""
    if not yes:
        raise BadInput("A deleted batch cannot be restored.", "Add --yes to delete it.")
    batch_id = resolve(connect(ctx), batch)
    api = connect(ctx, as_operator=owner is not None)
    query = {"owner": owner}
    body = api.send("DELETE", f"/batches/{batch_id}", query=query)
    body = _until_complete(api, batch_id, owner, body)
    if json:
        write_json(body)
        return
    found = msgspec.json.decode(body, type=BatchDeletion)
    for service, tables in found.deleted.items():
        rows = ", ".join(f"{count} {table.replace('_', ' ')}" for table, count in tables.items() if count)
        say(f"{service}: {rows or 'nothing'}")
    if found.completed_at is None:
        note("The other services have not answered yet. They delete their part as soon as they can.")
    else:
        say(f"{batch_id}: deleted")


def _until_complete(api: Api, batch_id: str, owner: str | None, body: bytes) -> bytes:
    """Return the deletion once every service has deleted its part, or as it is after a minute."""
    deadline = time.monotonic() + _PATIENCE_S
    while msgspec.json.decode(body, type=BatchDeletion).completed_at is None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        body = api.get(f"/batches/{batch_id}/deletion", {"owner": owner})
    return body
