"""`batchyard bulk`: one command for all batches that a filter selects."""

from enum import StrEnum
from typing import Annotated

import typer

from services.cli.commands.completion import workload_names
from services.cli.commands.options import JsonFlag, PriorityName, StateName
from services.cli.commands.plain_help import HelpCommand, HelpGroup

app = typer.Typer(cls=HelpGroup, no_args_is_help=True, help="Act on many batches at once.")


class ActionName(StrEnum):
    """Actions on many batches."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    CHANGE = "change"


@app.command(cls=HelpCommand)
def run(
    ctx: typer.Context,
    action: Annotated[ActionName, typer.Argument(help="What to do with each batch.")],
    status: Annotated[
        list[StateName] | None, typer.Option(help="Batches in this state; may be repeated. Default: those it suits.")
    ] = None,
    search: Annotated[
        str | None,
        typer.Option("--search", "-q", metavar="TEXT", help="Part of the name or of a label, or beginning of the id."),
    ] = None,
    workload: Annotated[
        str | None, typer.Option(help="Batches of this workload.", autocompletion=workload_names)
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Batches with this label; may be repeated.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Batches accepted from this time on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Batches accepted before this time.")] = None,
    to: Annotated[PriorityName | None, typer.Option("--to", help="For `change`: the new priority.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this, only show which batches it is for.")] = False,
    json: JsonFlag = False,
) -> None:
    """Pause, resume, cancel or retry all batches that the options select, or change their priority.

    Without --yes it only shows which batches these are. It runs in the
    background: `batchyard bulk show` tells how far it is.

    Examples

      batchyard bulk run pause --workload http
      batchyard bulk run retry --status partial --since 2026-12-24 --yes
    """
    from services.cli.actions.bulk import run_bulk
    from services.cli.parsing.label import label_of
    from services.cli.parsing.terms import moment_of

    chosen = {
        "state": [each.value for each in status or []],
        "q": search,
        "workload": workload,
        "label": dict(label_of(text) for text in label or []),
        "accepted_from": moment_of(since),
        "accepted_before": moment_of(until),
    }
    document = {"action": action.value, "filter": {name: value for name, value in chosen.items() if value}}
    run_bulk(ctx, document | ({"priority": to.value} if to else {}), confirmed=yes, json=json)


@app.command(cls=HelpCommand)
def show(
    ctx: typer.Context,
    action_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the action.")],
    json: JsonFlag = False,
) -> None:
    """Show how far an action is."""
    from services.cli.actions.bulk import show_bulk

    show_bulk(ctx, action_id, json=json)


@app.command("list", cls=HelpCommand)
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Largest number of actions.")] = 20,
    json: JsonFlag = False,
) -> None:
    """List the actions of the last 30 days, the newest first."""
    from services.cli.actions.bulk import list_bulk

    list_bulk(ctx, limit, json=json)
