"""Prints the definitions of RabbitMQ, and declares its exchanges and queues."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import ChannelAccessRefused
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.broker_rights import USERS
from batchyard_contracts.definitions import definitions
from batchyard_contracts.topology import EXCHANGES, QUEUES
from batchyard_contracts.v1.values import ClientOwner
from devstack import without_credentials
from services.cli.errors import BadInput, CliError, NotReachable
from shared.messaging.connection import connect, connect_once
from shared.messaging.topology import declare
from shared.runtime.errors import BatchyardError

_OWNER: TypeAdapter[str] = TypeAdapter(ClientOwner)
_ADMINISTRATORS = {"administrator", "batchyard", "guest"}
_PASSWORDS: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


def print_definitions(vhost: str, owners: Sequence[str], passwords: Path | None) -> None:
    """Print the definitions as JSON, and say which users cannot log in by a password."""
    for owner in owners:
        check_owner(owner)
    known = _read_passwords(passwords) if passwords else {}
    users = {*USERS, *owners}
    if unknown := sorted(known.keys() - users):
        raise BadInput(
            f"{passwords} has a password for {', '.join(unknown)}, who is no user of these definitions.",
            f"The users are {', '.join(sorted(users))}. Name further owners by --owner.",
        )
    found = definitions(vhost, owners=owners, passwords=known)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    if without := sorted(users - known.keys()):
        sys.stderr.write(f"Without a password, so that they cannot log in by one: {', '.join(without)}.\n")


def apply_topology(amqp_url: str) -> None:
    """Declare all exchanges and queues, and say how many there are."""
    address = without_credentials(amqp_url)
    try:
        asyncio.run(_declare(amqp_url))
    except ChannelAccessRefused as error:
        raise CliError(
            f"RabbitMQ at {address} refused it: {error}", "Use a user who may declare, such as `topology`."
        ) from error
    except (OSError, AMQPError) as error:
        raise NotReachable(f"RabbitMQ at {address} does not let us in: {error}", "Check the address.") from error
    except BatchyardError as error:
        raise CliError(str(error)) from error
    sys.stderr.write(f"{len(EXCHANGES)} exchanges and {len(QUEUES)} queues with their dead letters are at {address}.\n")


async def _declare(url: str) -> None:
    await (await connect_once(url, "topology")).close()  # an address that is wrong would be tried for ever
    connection = await connect(url, "topology")
    try:
        await declare(connection)
    finally:
        await connection.close()


def check_owner(owner: str) -> None:
    """Raise `BadInput` if nobody may be an owner of this name."""
    try:
        _OWNER.validate_python(owner)
    except ValidationError as error:
        raise BadInput(
            f"{owner!r} is no name of an owner.", "Use letters, digits, _ and -, and neither `all` nor `unknown`."
        ) from error
    if owner in USERS or owner in _ADMINISTRATORS:
        raise BadInput(f"{owner!r} is the user of a service or an administrator.", "Give the owner another name.")


def _read_passwords(file: Path) -> dict[str, str]:
    try:
        return _PASSWORDS.validate_json(file.read_bytes())
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise BadInput(
            f"{file} is no JSON object of passwords by user.", 'Write it like {"ingest": "a long password"}.'
        ) from error
