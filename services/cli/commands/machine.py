"""`batchyard up`, `down`, `status`, `dashboard`, `env` and `demo`: the local cluster."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.options import JsonFlag


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in the background; stop it with `down`.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Number of worker processes; default 1.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the HTTP API; 8000 if it is free.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", hidden=True, help="Do not print the address.")] = False,
    json: JsonFlag = False,
) -> None:
    """Start RabbitMQ, PostgreSQL, Redis and the five services here, and keep them running until Ctrl-C.

    Each server is the first available of these: the address in
    its variable (BATCHYARD_AMQP_URL, BATCHYARD_DATABASE_URL, BATCHYARD_REDIS_URL),
    a program on this machine, a Docker engine, Debian packages (root only).

    The started processes belong to this checkout alone: they have their own ports,
    data under .batchyard, logs in .batchyard/log.
    """
    from services.cli.actions import up_down

    up_down.up(workers=workers, port=port, detach=detach, quiet=quiet, json=json)


def down(json: JsonFlag = False) -> None:
    """Stop the local cluster of this checkout. Its data stays: the next `up` continues with it."""
    from services.cli.actions import up_down

    up_down.down(json=json)


def status(ctx: typer.Context, json: JsonFlag = False) -> None:
    """Show which Batchyard the commands use, whether it works, and the addresses of its servers.

    docs/settings.md lists every setting.
    """
    from services.cli.actions.status import show_status

    show_status(ctx, json=json)


def dashboard(
    ctx: typer.Context,
    operator: Annotated[bool, typer.Option("--operator", help="Sign in with the key of the operator.")] = False,
    json: JsonFlag = False,
) -> None:
    """Print a link that opens the dashboard and signs in, once and within an hour.

    It signs in with the key of the command: BATCHYARD_TOKEN, or that of the local
    cluster. An operator sees workers, dead letters and other owners as well.
    """
    from services.cli.actions.session import address_of
    from services.cli.actions.sign_in_link import sign_in_link
    from services.cli.rendering.output import say, write_json

    link = sign_in_link(address_of(ctx, as_operator=operator))
    if json:
        write_json({"url": link})
    else:
        say(link)


def env(
    account: Annotated[
        str | None,
        typer.Option("--as", help="Account whose addresses are printed, such as `worker`. Default: a client's."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Print the addresses of the local cluster as variables of a shell.

    They are those of the HTTP API and of RabbitMQ, with passwords, and the key that
    signs webhooks. With --as they are those of the servers for one service.
    docs/settings.md lists every setting.

    Examples

      eval "$(batchyard env)"                  bash, zsh
      batchyard env | source                   fish
      eval "$(batchyard env --as worker)"      for a worker of your own
    """
    from services.cli.actions.status import print_environment

    print_environment(account, json=json)


def demo(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the results.")] = None,
) -> None:
    """Run one real batch from end to end on this machine, and check every step. Needs a checkout.

    It starts the servers and services, a test site, a webhook receiver
    and a mail server; submits 150 URLs by AMQP; waits until the batch has
    finished; and writes the results as JSON, CSV and CUE sheets.
    """
    from services.cli.actions.demo import run_demo

    run_demo(output)
