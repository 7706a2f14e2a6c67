"""`batchyard limits show|list|set|clear`: the limits of owners."""

from typing import Annotated, Any

import typer

from services.cli.commands.options import JsonFlag
from services.cli.commands.plain_help import HelpCommand, HelpGroup

app = typer.Typer(
    cls=HelpGroup, no_args_is_help=True, rich_markup_mode=None, help="Show or change the limits of owners."
)
Owner = Annotated[str, typer.Argument(metavar="OWNER", help="Name of the owner.")]


@app.command(cls=HelpCommand)
def show(
    ctx: typer.Context,
    owner: Annotated[str | None, typer.Argument(metavar="[OWNER]", help="Another owner (for operators).")] = None,
    json: JsonFlag = False,
) -> None:
    """Show your limits, and what is in use in the replica that answers: each counts by itself."""
    from services.cli.actions.session import connect

    path = "/limits" if owner is None else _path(owner)
    _write(connect(ctx, as_operator=owner is not None).get(path), json=json)


@app.command(cls=HelpCommand, name="list")
def list_(ctx: typer.Context, json: JsonFlag = False) -> None:
    """List the limits of the owners for whom some were set (for operators)."""
    import orjson

    from services.cli.actions.session import connect
    from services.cli.rendering.limit_table import limits_table
    from services.cli.rendering.output import show as show_table
    from services.cli.rendering.output import write_json

    body = connect(ctx, as_operator=True).get("/owners/limits")
    if json:
        write_json(body)
    else:
        show_table(limits_table(orjson.loads(body)["owners"]))


@app.command(cls=HelpCommand, name="set")
def set_(
    ctx: typer.Context,
    owner: Owner,
    requests: Annotated[int | None, typer.Option(min=1, help="Requests over HTTP in 10 seconds.")] = None,
    key_requests: Annotated[int | None, typer.Option(min=1, help="The same with one API key.")] = None,
    waiting_items: Annotated[int | None, typer.Option(min=1, help="Items that have not ended yet.")] = None,
    waiting_bytes: Annotated[int | None, typer.Option(min=1, help="Bytes of items that have not ended yet.")] = None,
    uploads: Annotated[int | None, typer.Option(min=1, help="Uploads of files at a time.")] = None,
    websockets: Annotated[int | None, typer.Option(min=1, help="Open WebSockets.")] = None,
    questions: Annotated[int | None, typer.Option(min=1, help="Questions to workloads at a time.")] = None,
    deliveries: Annotated[
        int | None, typer.Option(min=1, help="Receivers of notifications that new batches name in an hour.")
    ] = None,
    weight: Annotated[
        float | None, typer.Option(min=0.01, help="Share of the workers: 2 is twice that of an owner with 1.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Set some limits of an owner (for operators). The others stay.

    A change holds within two seconds, and for the share of the workers too.

    Examples

      batchyard limits set ann --requests 1000 --uploads 5
      batchyard limits set bob --weight 2
    """
    from services.cli.actions.session import connect
    from services.cli.errors import BadInput

    given: dict[str, Any] = {
        "requests": requests,
        "key_requests": key_requests,
        "waiting_items": waiting_items,
        "waiting_bytes": waiting_bytes,
        "uploads": uploads,
        "websockets": websockets,
        "questions": questions,
        "deliveries": deliveries,
        "weight": weight,
    }
    document = {name: value for name, value in given.items() if value is not None}
    if not document:
        raise BadInput("No limit is given.", "Add one, such as --requests 1000; `limits clear` takes all back.")
    _write(connect(ctx, as_operator=True).send("PATCH", _path(owner), document), json=json)


@app.command(cls=HelpCommand)
def clear(ctx: typer.Context, owner: Owner, json: JsonFlag = False) -> None:
    """Take all limits of an owner back: the defaults hold (for operators)."""
    from services.cli.actions.session import connect

    _write(connect(ctx, as_operator=True).send("DELETE", _path(owner)), json=json)


def _path(owner: str) -> str:
    from urllib.parse import quote

    return f"/owners/{quote(owner, safe='')}/limits"


def _write(body: bytes, *, json: bool) -> None:
    import orjson

    from services.cli.rendering.limit_table import limits_table
    from services.cli.rendering.output import show as show_table
    from services.cli.rendering.output import write_json

    if json:
        write_json(body)
    else:
        show_table(limits_table([orjson.loads(body)]))
