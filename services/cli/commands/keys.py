"""`batchyard keys create|list|rotate|revoke|generate`: the API keys of clients."""

from typing import Annotated, Any

import typer

from services.cli.commands.options import JsonFlag
from services.cli.commands.plain_help import HelpCommand, HelpGroup

app = typer.Typer(
    cls=HelpGroup, no_args_is_help=True, rich_markup_mode=None, help="Create, list, rotate or revoke API keys."
)
Key = Annotated[str, typer.Argument(metavar="KEY", help="Id of a key; see `keys list`.")]


@app.command(cls=HelpCommand)
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            help="What the key may do: batches:read, batches:write, results:read, schedules:write, webhooks:write, "
            "keys:write, operate, payloads:read. May be repeated; default: the first three.",
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time from which it is refused: 90d, or 2027-12-24T18:00.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Another owner than yours (for operators).")] = None,
    json: JsonFlag = False,
) -> None:
    """Create an API key, and print it. It is shown this once only.

    A key creates keys of its own scopes or fewer. The first key of a Batchyard makes
    keys required for all.

    Examples

      batchyard keys create "nightly import" --scope batches:write --expires 90d
      batchyard keys create "ann's laptop" --owner ann
    """
    from datetime import UTC, datetime

    from services.cli.parsing.terms import time_of

    document: dict[str, Any] = {"name": name}
    if scope:
        document["scopes"] = scope
    if owner:
        document["owner"] = owner
    if expires:
        document["expires_at"] = time_of(expires, datetime.now(UTC), "a time")
    _create(ctx, "/keys", document, as_operator=owner is not None, json=json)


@app.command(cls=HelpCommand, name="list")
def list_(
    ctx: typer.Context,
    owner: Annotated[str | None, typer.Option(help="Those of another owner (for operators).")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Those of all owners (for operators).")] = False,
    json: JsonFlag = False,
) -> None:
    """List API keys, with those that ended in the last 30 days."""
    import msgspec

    from services.cli.actions.session import connect
    from services.cli.rendering.key_table import keys_table
    from services.cli.rendering.output import show, write_json

    body = connect(ctx, as_operator=all_ or owner is not None).get("/keys", {"owner": owner})
    if json:
        write_json(body)
    else:
        show(keys_table(msgspec.json.decode(body)["keys"]))


@app.command(cls=HelpCommand)
def rotate(
    ctx: typer.Context,
    key: Key,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="Time for which the old key works yet, at most 7d.")
    ] = "1d",
    force: Annotated[bool, typer.Option("--force", help="Rotate a key once more that was rotated before.")] = False,
    json: JsonFlag = False,
) -> None:
    """Replace a key by one with the same scopes, and print it. Both work for a time.

    Give the new key to the programs that use the old one meanwhile.
    """
    from urllib.parse import quote

    from services.cli.parsing.terms import seconds_of

    document = {"grace_s": round(seconds_of(grace)), "force": force}
    _create(ctx, f"/keys/{quote(key, safe='')}/rotate", document, as_operator=False, json=json)


@app.command(cls=HelpCommand)
def revoke(ctx: typer.Context, key: Key, json: JsonFlag = False) -> None:
    """End a key at once, on every server, with its sessions."""
    from urllib.parse import quote

    from services.cli.actions.session import connect
    from services.cli.rendering.output import say, write_json

    body = connect(ctx).send("DELETE", f"/keys/{quote(key, safe='')}")
    if json:
        write_json(body)
    else:
        say(f"{key}: revoked")


@app.command(cls=HelpCommand)
def generate(
    environment: Annotated[str, typer.Option(help="Part of the key that tells installations apart.")] = "live",
) -> None:
    """Print a new key for BATCHYARD_OPERATOR_KEY, without asking a server.

    Ingest enters it at its start as the key of the operator.
    """
    from batchyard_contracts.api_keys import new_api_key
    from services.cli.errors import BadInput
    from services.cli.rendering.output import say

    try:
        say(new_api_key(environment))
    except ValueError as error:
        raise BadInput(f"{error}.", "Leave --environment out, or write it like `live`.") from error


def _create(ctx: typer.Context, path: str, document: dict[str, Any], *, as_operator: bool, json: bool) -> None:
    """Send a request whose answer has a new key: print the key alone to standard output, and all else beside it."""
    import msgspec

    from services.cli.actions.session import connect
    from services.cli.rendering.output import note, say, write_json

    body = connect(ctx, as_operator=as_operator).send("POST", path, document)
    if json:
        write_json(body)
        return
    created = msgspec.json.decode(body)
    note(f"{created['id']} of {created['owner']}: {', '.join(created['scopes'])}. It is not shown again.")
    say(created["key"])
