"""The command `batchyard`: which commands there are, in which order the help shows them."""

from typing import Annotated

import typer

from services.cli.commands import batches, control, machine, pace, platform, recommend, results, submit, workload
from services.cli.commands.dead import dead
from services.cli.exit_codes import MEANING

_EXIT_CODES = "  ".join(f"[bold]{code.value}[/bold] {meaning}." for code, meaning in MEANING.items())

app = typer.Typer(
    name="batchyard",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes: {_EXIT_CODES}",
)


@app.callback()
def batchyard(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The yard to speak with; else BATCHYARD_URL, else the one that `up` runs here."
        ),
    ] = None,
) -> None:
    """Run batches of work: submit items, watch them, fetch what came of each.

    [bold]A first look[/bold]

      batchyard up --detach                         start everything here
      batchyard workloads                           what can be run on an item
      batchyard submit tracklists urls.csv --watch  hand in a batch, see it end
      batchyard results last --format csv           one outcome for each item
      batchyard down                                stop everything

    BATCHYARD_URL names a yard elsewhere, BATCHYARD_TOKEN its bearer token.
    """
    ctx.obj = url


_PANELS = {
    "On this machine": (machine.up, machine.down, machine.demo),
    "Batches": (submit.submit, batches.list_, batches.show, batches.watch, results.results, batches.failures),
    "Steering a batch": (
        control.pause,
        control.resume,
        control.cancel,
        control.retry,
        control.priority,
        control.change,
    ),
    "Looking around": (
        recommend.recommend,
        pace.pace,
        platform.workers,
        platform.workloads,
        platform.forget,
        platform.version,
    ),
}
app.add_typer(dead, name="dead", rich_help_panel="Looking around")
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(_command.__name__.rstrip("_"), rich_help_panel=_panel)(_command)
app.add_typer(workload.app, name="workload", rich_help_panel="Your own")
