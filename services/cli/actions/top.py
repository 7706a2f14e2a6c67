"""Action of `batchyard top`."""

import sys

import typer

from services.cli.actions.session import connect, resolve
from services.cli.errors import BadInput


def run_top(ctx: typer.Context, batch: str | None, owner: str | None) -> None:
    """Show the live page until it is left."""
    if not sys.stdout.isatty():
        raise BadInput("`batchyard top` draws on a terminal, and this is none.", "Use `batchyard overview --json`.")
    try:
        from services.cli.top.app import TopApp  # noqa: PLC0415  # a library that no other command needs
    except ModuleNotFoundError as error:
        if error.name != "textual":
            raise
        raise BadInput(
            "`batchyard top` needs the extra `top`.", "Install Batchyard with it: batchyard[top]."
        ) from error
    from services.cli.top.reader import TopReader  # noqa: PLC0415  # as above

    api = connect(ctx, as_operator=owner is not None)
    TopApp(TopReader(api, owner), None if batch is None else resolve(api, batch)).run()
