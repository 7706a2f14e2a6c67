"""`batchyard workload new`, `run` and `test`: development of a workload."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.options import JsonFlag
from services.cli.commands.plain_help import HelpCommand, HelpGroup

app = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Create, run and test a workload of your own.",
)
File = Annotated[Path, typer.Argument(metavar="FILE", help="A Python file that defines workloads.")]


@app.command(cls=HelpCommand)
def new(
    name: Annotated[str, typer.Argument(help="Its name: lower case, digits and hyphens.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write; else NAME.py here.")] = None,
) -> None:
    """Create a file with a working workload to start from."""
    from services.cli.actions.workload import write_new

    write_new(name, output)


@app.command(cls=HelpCommand)
def run(file: File) -> None:
    """Run a worker for the workloads of FILE until Ctrl-C.

    It joins the Batchyard at BATCHYARD_AMQP_URL, by default the local cluster.
    """
    from services.cli.actions.workload import run_worker

    run_worker(file)


@app.command(cls=HelpCommand, name="test")
def check(
    file: File,
    item: Annotated[str | None, typer.Option(help="An item as JSON to try, in place of the example.")] = None,
    json: JsonFlag = False,
) -> None:
    """Test a workload against Batchyard's rules: run the example several times, and unusual items too.

    It needs no running Batchyard. Exit code 0: all checks passed; 1: a check failed; 2: the file cannot be used.
    """
    from services.cli.actions.workload import run_checks

    run_checks(file, item, json=json)
