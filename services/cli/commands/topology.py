"""`batchyard topology export|apply`: exchanges, queues and rights of RabbitMQ."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.plain_help import HelpCommand, HelpGroup

app = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Give RabbitMQ its exchanges, queues, users and rights.",
)


@app.command(cls=HelpCommand)
def export(
    vhost: Annotated[str, typer.Option(help="Virtual host for which the definitions are.")] = "batchyard",
    owner: Annotated[
        list[str] | None, typer.Option("--owner", help="Owner who gets a user of that name. May be repeated.")
    ] = None,
    passwords: Annotated[
        Path | None,
        typer.Option(help="File with a JSON object, user: password. Other users cannot log in by a password."),
    ] = None,
) -> None:
    """Print definitions for RabbitMQ: a user for each service with the least rights, exchanges, queues.

    Import them by `rabbitmqctl import_definitions FILE`, or let the server load them
    at its start (`load_definitions` in rabbitmq.conf). Passwords of users that it has
    are replaced. Start the services with BATCHYARD_TOPOLOGY=check then.

    Examples

      batchyard topology export --owner ann --passwords passwords.json > definitions.json
    """
    from services.cli.actions.topology import print_definitions

    print_definitions(vhost, owner or [], passwords)


@app.command(cls=HelpCommand)
def apply(
    amqp_url: Annotated[
        str,
        typer.Option(envvar="BATCHYARD_AMQP_URL", help="RabbitMQ, as a user who may declare exchanges and queues."),
    ],
) -> None:
    """Declare the exchanges and queues of all services in a virtual host. Safe to repeat.

    Those of a workload are declared when a worker announces it.
    """
    from services.cli.actions.topology import apply_topology

    apply_topology(amqp_url)
