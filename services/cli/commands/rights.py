"""`batchyard rights`: users with the least rights for RabbitMQ, PostgreSQL and Redis."""

from pathlib import Path
from typing import Annotated

import typer


def rights(
    folder: Annotated[Path, typer.Argument(help="Folder for the files. Passwords that it has stay.")],
    vhost: Annotated[str, typer.Option(help="Virtual host of RabbitMQ.")] = "/",
    owner: Annotated[
        list[str] | None,
        typer.Option("--owner", help="Owner who gets a user of RabbitMQ. May be repeated. Default: `default`."),
    ] = None,
) -> None:
    """Write files by which the servers get a user for each service, with the least rights and a new password.

      passwords.json      the passwords by user; only you may read it
      definitions.json    for RabbitMQ: load_definitions, or rabbitmqctl import_definitions
      roles.sql           for PostgreSQL: psql --file, as a superuser, in the database of Batchyard
      users.acl           for Redis: aclfile
      compose.env         for docker compose: cp compose.env .env

    docs/access.md says what each user may do.

    Examples

      batchyard rights out/rights --owner ann
    """
    from services.cli.actions.rights import write_rights

    write_rights(folder, vhost, owner or ["default"])
