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


@pytest.mark.parametrize("service", MIGRATIONS)
async def test_a_new_column_changes_no_result(servers: Servers, service: str) -> None:
    """PostgreSQL refuses a prepared statement in a transaction once its result has other columns."""
    await migrate(Settings(database_url=servers.database_url), service, package(MIGRATIONS[service]))
    connection = await asyncpg.connect(servers.database_url, server_settings={"search_path": service})
    change = connection.transaction()
    await change.start()
    try:
        before = {name: await result_columns(connection, text) for name, text in statements_of(service).items()}
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", service)
        for row in tables:
            await connection.execute(f"ALTER TABLE {row['tablename']} ADD COLUMN of_a_later_version int")
        after = {name: await result_columns(connection, text) for name, text in statements_of(service).items()}
    finally:
        await change.rollback()
        await connection.close()

    assert any("batch_id" in columns for columns in before.values())
    assert after == before


def statements_of(service: str) -> dict[str, str]:
    """Return all statements of a service by file and name."""
    return {
        f"{file.name} {name}": text
        for file in FILES
        if file.parts[0] == service
        for name, text in load_queries(package(SERVICES / file.parent), file.name).items()
    }


async def result_columns(connection: "asyncpg.Connection[asyncpg.Record]", statement: str) -> list[str]:
    return [attribute.name for attribute in (await connection.prepare(statement)).get_attributes()]


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
