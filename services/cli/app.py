"""The command `batchyard`: its subcommands, in the order in which the help lists them."""

from typing import Annotated

import typer

from services.cli.commands import (
    admin,
    ask,
    audit,
    batches,
    bulk,
    control,
    dead_letters,
    export,
    items,
    keys,
    limits,
    machine,
    platform,
    rates,
    results,
    retention,
    rights,
    schedules,
    series,
    submit,
    templates,
    top,
    topology,
    workload,
)
from services.cli.commands.plain_help import HelpCommand, RootGroup
from services.cli.exit_codes import MEANING

_EXIT_CODES = "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in MEANING.items())

app = typer.Typer(
    name="batchyard",
    cls=RootGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes:\n\n{_EXIT_CODES}",
)


@app.callback()
def batchyard(
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="Address of Batchyard; it may stand anywhere on the line. Default: BATCHYARD_URL, else the local "
            "cluster that `up` started.",
        ),
    ] = None,
) -> None:
    """Run batches of work: submit items, watch them, fetch their results.

    A first look:

      batchyard up --detach                      start the local cluster
      batchyard workloads                        list the workloads
      batchyard submit noop --item '{"n": 7}' --watch
      batchyard results last --format csv        fetch the outcome of each item
      batchyard down                             stop the local cluster

    BATCHYARD_URL is the address of a running Batchyard, BATCHYARD_TOKEN an API key
    for it, BATCHYARD_OPERATOR_KEY one for the commands of operators. A key is sent
    to no other address. The local cluster has keys of its own, which are found.
    """


_PANELS = {
    "Local cluster": (machine.up, machine.down, machine.status, machine.dashboard, machine.env, machine.demo),
    "Batches": (
        submit.submit,
        batches.list_,
        batches.overview,
        top.top,
        batches.show,
        batches.why,
        batches.log,
        series.series,
        batches.watch,
        items.items,
        results.results,
        export.export,
        batches.failures,
    ),
    "Control": (
        control.pause,
        control.resume,
        control.cancel,
        control.finish,
        control.delete,
        control.retry,
        control.accept_results,
        control.priority,
        control.change,
    ),
    "Platform": (
        ask.ask,
        rates.rates,
        audit.audit,
        platform.workers,
        platform.workloads,
        platform.invalidate_cache,
        rights.rights,
        platform.version,
    ),
}
app.add_typer(admin.app, name="admin", rich_help_panel="Platform")
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel="Platform")
app.add_typer(keys.app, name="keys", rich_help_panel="Platform")
app.add_typer(bulk.app, name="bulk", rich_help_panel="Control")
app.add_typer(templates.app, name="templates", rich_help_panel="Batches")
app.add_typer(schedules.app, name="schedules", rich_help_panel="Batches")
app.add_typer(limits.app, name="limits", rich_help_panel="Platform")
app.add_typer(retention.app, name="retention", rich_help_panel="Platform")
app.add_typer(topology.app, name="topology", rich_help_panel="Platform")
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(_command.__name__.rstrip("_").replace("_", "-"), cls=HelpCommand, rich_help_panel=_panel)(_command)
app.add_typer(workload.app, name="workload", rich_help_panel="Workload development")
