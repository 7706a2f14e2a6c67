"""`batchyard retention show|set|clear`: how long batches are kept, and what belongs to them."""

from typing import Annotated, Any

import typer

from services.cli.commands.options import JsonFlag
from services.cli.commands.plain_help import HelpCommand, HelpGroup

app = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Show or change how long batches are kept, and what belongs to them.",
)
Owner = Annotated[str | None, typer.Option("--owner", help="Only for this owner.")]
Workload = Annotated[str | None, typer.Option("--workload", help="Only for this workload.")]
KINDS = ("payloads", "outcomes", "deliveries", "batch")


@app.command(cls=HelpCommand)
def show(
    ctx: typer.Context,
    owner: Annotated[str | None, typer.Option("--owner", help="Another owner (for operators).")] = None,
    workload: Workload = None,
    json: JsonFlag = False,
) -> None:
    """Show for how many days your batches are kept after their end, and what belongs to them."""
    from services.cli.actions.session import connect

    api = connect(ctx, as_operator=owner is not None)
    _write(api.get("/retention", {"owner": owner, "workload": workload}), json=json)


@app.command(cls=HelpCommand, name="set")
def set_(
    ctx: typer.Context,
    owner: Owner = None,
    workload: Workload = None,
    payloads: Annotated[
        float | None, typer.Option(min=0, help="Days for payloads, without which no item retries.")
    ] = None,
    outcomes: Annotated[float | None, typer.Option(min=0, help="Days for results and failures; counts stay.")] = None,
    deliveries: Annotated[float | None, typer.Option(min=0, help="Days for deliveries of notifications.")] = None,
    batch: Annotated[float | None, typer.Option(min=0, help="Days for the batch, with everything of it.")] = None,
    json: JsonFlag = False,
) -> None:
    """Set for how many days something is kept (for operators): for an owner, a workload, both, or all.

    It holds within a minute, for batches that have ended already, too. What is
    deleted does not come back.

    Examples

      batchyard retention set --outcomes 90 --batch 400
      batchyard retention set --owner ann --workload http --payloads 1
    """
    from services.cli.errors import BadInput

    given = dict(zip(KINDS, (payloads, outcomes, deliveries, batch), strict=True))
    days: dict[str, Any] = {kind: value for kind, value in given.items() if value is not None}
    if not days:
        raise BadInput("Nothing is given.", "Add days, such as --outcomes 90; `retention clear` takes a rule back.")
    _change(ctx, owner, workload, days, json=json)


@app.command(cls=HelpCommand)
def clear(ctx: typer.Context, owner: Owner = None, workload: Workload = None, json: JsonFlag = False) -> None:
    """Take a rule back (for operators): that of an owner, a workload, both, or all."""
    _change(ctx, owner, workload, dict.fromkeys(KINDS), json=json)


def _change(ctx: typer.Context, owner: str | None, workload: str | None, days: dict[str, Any], *, json: bool) -> None:
    from services.cli.actions.session import connect

    names = {name: value for name, value in (("owner", owner), ("workload", workload)) if value is not None}
    _write(connect(ctx, as_operator=True).send("PATCH", "/retention", {**names, **days}), json=json)


def _write(body: bytes, *, json: bool) -> None:
    import msgspec

    from services.cli.rendering.output import show as show_table
    from services.cli.rendering.output import write_json
    from services.cli.rendering.retention_table import retention_table

    if json:
        write_json(body)
    else:
        show_table(retention_table(msgspec.json.decode(body)))
