"""Accounts of the services and of owners on the servers of a stack, each with the least rights that it needs."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import asyncpg
from yarl import URL

from batchyard_contracts.broker_rights import USERS
from batchyard_contracts.definitions import definitions
from devstack.component import COMPONENTS, Name
from devstack.passwords import passwords_of
from devstack.private import PrivateServer
from devstack.server import Server
from devstack.servers import Servers
from shared.postgres.roles import SERVICES, role_of, role_statements, schema_statement
from shared.redis.acl import KEYS

_TOPOLOGY_USER, _DECLARING_SERVICE = "topology", "ingest"


async def create_accounts(
    home: Path, running: Mapping[Name, Server], servers: Servers, owners: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Create a user of RabbitMQ for each service, owner and operator, a role of PostgreSQL for each service with
    tables, and return by name the variables with their addresses. Redis has its users from its start.

    Servers that run elsewhere, or in containers, are used as they are.
    """
    passwords = passwords_of(home, [*USERS, *owners])
    found: dict[str, dict[str, str]] = {name: {} for name in passwords}
    for name, urls in {
        "rabbitmq": await _in_rabbitmq(running["rabbitmq"], servers.amqp_url, owners, passwords, home),
        "postgres": await _in_postgres(running["postgres"], servers.database_url, passwords),
        "redis": _in_redis(running["redis"], servers.redis_url, passwords),
    }.items():
        for user, url in urls.items():
            found[user][COMPONENTS[name].variable] = url  # type: ignore[index]  # keys of a literal
    if found[_TOPOLOGY_USER]["BATCHYARD_AMQP_URL"] != servers.amqp_url:
        for environment in found.values():
            environment["BATCHYARD_TOPOLOGY"] = "check"
        found[_DECLARING_SERVICE]["BATCHYARD_TOPOLOGY_AMQP_URL"] = found[_TOPOLOGY_USER]["BATCHYARD_AMQP_URL"]
    return found


async def _in_rabbitmq(
    server: Server, url: str, owners: Sequence[str], passwords: Mapping[str, str], home: Path
) -> dict[str, str]:
    vhost = unquote(URL(url).raw_path.removeprefix("/")) or "/"
    with _private_file(home, json.dumps(definitions(vhost, owners=owners, passwords=passwords))) as file:
        if not await server.import_definitions(file):
            return dict.fromkeys(passwords, url)
    return {user: _as_user(url, user, password) for user, password in passwords.items()}


async def _in_postgres(server: Server, url: str, passwords: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(server, PrivateServer):
        return dict.fromkeys(SERVICES, url)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            for statement in (*role_statements({name: passwords[name] for name in SERVICES}), schema_statement()):
                await connection.execute(statement)
    finally:
        await connection.close()
    return {service: _as_user(url, role_of(service), passwords[service]) for service in SERVICES}


def _in_redis(server: Server, url: str, passwords: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(server, PrivateServer):
        return dict.fromkeys(KEYS, url)
    return {service: _as_user(url, service, passwords[service]) for service in KEYS}


@contextmanager
def _private_file(folder: Path, text: str) -> Iterator[Path]:
    """Yield a file that its user alone may read, and delete it at the end."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, suffix=".json") as file:
        file.write(text)
        file.flush()
        yield Path(file.name)


def _as_user(url: str, user: str, password: str) -> str:
    return str(URL(url).with_user(user).with_password(password))
