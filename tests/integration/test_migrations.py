"""Migrations on tables that are in use."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from devstack import Servers
from shared.postgres.migrations import apply_migrations
from shared.runtime.transient import is_transient, retry_transient
from tests.support.patience import PATIENCE_S, until

SCHEMA = "migrated"


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    (tmp_path / "0001_start.sql").write_text("CREATE TABLE things (id int)")
    return tmp_path


async def test_a_migration_that_waits_for_a_table_lets_others_pass(servers: Servers, steps: Path) -> None:
    await apply_migrations(servers.database_url, SCHEMA, steps)
    (steps / "0002_more.sql").write_text("ALTER TABLE things ADD COLUMN name text")
    reader, other = [
        await asyncpg.connect(servers.database_url, server_settings={"search_path": SCHEMA}) for _ in range(2)
    ]
    try:
        async with reader.transaction():
            await reader.fetch("SELECT id FROM things")  # holds the table until the transaction ends
            migration = asyncio.create_task(
                retry_transient(lambda: apply_migrations(servers.database_url, SCHEMA, steps), "PostgreSQL")
            )
            await until(lambda: _is_waiting(other))
            async with asyncio.timeout(PATIENCE_S):
                await other.fetch("SELECT id FROM things")  # behind the migration, until that gives up
            assert not migration.done()
        await asyncio.wait_for(migration, PATIENCE_S)
        assert await other.fetch("SELECT name FROM things") == []
    finally:
        await reader.close()
        await other.close()


async def test_a_statement_that_a_migration_made_stale_succeeds_when_it_is_repeated(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.database_url)
    other = await asyncpg.connect(servers.database_url)
    errors: list[Exception] = []

    async def read_in_a_transaction() -> None:
        async with connection.transaction():
            await connection.execute("SELECT 1")
            try:
                await connection.fetch("SELECT * FROM stale")
            except asyncpg.PostgresError as error:
                errors.append(error)
                raise

    try:
        await other.execute("CREATE TABLE stale (id int)")
        await read_in_a_transaction()
        await other.execute("ALTER TABLE stale ADD COLUMN name text")
        await asyncio.wait_for(retry_transient(read_in_a_transaction, "PostgreSQL"), PATIENCE_S)
        assert [type(error) for error in errors] == [asyncpg.InvalidCachedStatementError]
        assert is_transient(errors[0])
    finally:
        await other.execute("DROP TABLE stale")
        await connection.close()
        await other.close()


async def _is_waiting(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return bool(
        await connection.fetchval(
            "SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation "
            "WHERE relname = 'things' AND NOT granted"
        )
    )
