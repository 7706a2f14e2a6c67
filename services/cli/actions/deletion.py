"""Action of `batchyard delete`."""

import msgspec
import typer

from services.cli.actions.polling import advice_on_interruption, poll
from services.cli.actions.session import connect, resolve
from services.cli.client.deletion_documents import BatchDeletion
from services.cli.errors import BadInput
from services.cli.rendering.deleted_rows import deleted_lines
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
    api.send("DELETE", f"/batches/{batch_id}", query=query)
    with advice_on_interruption("The deletion was accepted, and goes on."):
        body = poll(
            lambda: api.get(f"/batches/{batch_id}/deletion", query), _is_complete, every_s=_POLL_S, within_s=_PATIENCE_S
        )
    if json:
        write_json(body)
        return
    found = msgspec.json.decode(body, type=BatchDeletion)
    for line in deleted_lines(found.deleted):
        say(line)
    if found.completed_at is None:
        note("The other services have not answered yet. They delete their part as soon as they can.")
    else:
        say(f"{batch_id}: deleted")


def _is_complete(body: bytes) -> bool:
    return msgspec.json.decode(body, type=BatchDeletion).completed_at is not None
