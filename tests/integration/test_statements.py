"""PostgreSQL can prepare every named statement of every service on the schema that its migrations make."""

from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from devstack import Servers
from shared.postgres.migrations import migrate
from shared.postgres.queries import load_queries
from shared.runtime.settings import Settings

SERVICES = Path(__file__).parents[2] / "services"
MIGRATIONS = {path.relative_to(SERVICES).parts[0]: path.parent for path in SERVICES.glob("**/migrations")}
FILES = sorted(path.relative_to(SERVICES) for path in SERVICES.glob("**/*.sql") if path.parent.name != "migrations")


def test_each_service_with_a_schema_has_statements() -> None:
    assert {file.parts[0] for file in FILES} == MIGRATIONS.keys()


@pytest.mark.parametrize("file", FILES, ids=str)
async def test_every_statement_can_be_prepared(servers: Servers, file: Path) -> None:
    service = file.parts[0]
    await check(servers, service, load_queries(package(SERVICES / file.parent), file.name))


@pytest.mark.parametrize("service", ["aggregator", "ingest"])
async def test_every_statement_on_an_outbox_can_be_prepared(servers: Servers, service: str) -> None:
    await check(servers, service, load_queries("shared.postgres", "outbox.sql"))


async def check(servers: Servers, service: str, statements: Mapping[str, str]) -> None:
    """Prepare the statements on the schema of a service."""
    await migrate(Settings(database_url=servers.database_url), service, package(MIGRATIONS[service]))
    connection = await asyncpg.connect(servers.database_url, server_settings={"search_path": service})
    refused = {}
    try:
        for name, statement in statements.items():
            try:
                await connection.prepare(statement)
            except asyncpg.PostgresError as error:
                refused[name] = str(error)
    finally:
        await connection.close()

    assert statements
    assert refused == {}


def package(folder: Path) -> str:
    return ".".join(folder.relative_to(SERVICES.parent).parts)
