"""Forward-only migrations of a service's schema: numbered .sql files, each applied once, under a lock."""

import re
from importlib.resources import files
from importlib.resources.abc import Traversable

import asyncpg
import structlog

from shared.runtime.errors import ConfigurationError
from shared.runtime.settings import Settings
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_MIGRATION = re.compile(r"^(\d{4})_\w+\.sql$")
_LOCK = 0x62617463  # one lock for all migrations of a database
_LOCK_TIMEOUT = "2s"
"""Longest time that a step waits for a table. All later statements on the table wait behind it, so it gives up soon and
is tried again."""


async def migrate(settings: Settings, schema: str, package: str) -> None:
    """Bring the schema up to date from `<package>/migrations`."""
    await retry_transient(
        lambda: apply_migrations(settings.database_url, schema, files(package) / "migrations"), "PostgreSQL"
    )


async def apply_migrations(url: str, schema: str, folder: Traversable) -> None:
    """Apply the missing migrations of a folder, all or none.

    Raises ConfigurationError if the schema is newer than this version, and a transient error while a table is in use.
    """
    steps = sorted((int(m[1]), f) for f in folder.iterdir() if (m := _MIGRATION.match(f.name)))
    connection = await asyncpg.connect(url, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            if await connection.fetchval("SELECT to_regnamespace($1) IS NULL", schema):  # else no right to is needed
                await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            await connection.execute(f'SET LOCAL search_path TO "{schema}"')
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations (step int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
            )
            done = {row["step"] for row in await connection.fetch("SELECT step FROM migrations")}
            if done and max(done) > steps[-1][0]:
                raise ConfigurationError(
                    f"The schema {schema!r} is at migration {max(done)}, this version knows {steps[-1][0]}: "
                    "start the version that created it, or a newer one."
                )
            for step, file in steps:
                if step not in done:
                    log.info("migrating", schema=schema, step=file.name)
                    await connection.execute(file.read_text("utf-8"))
                    await connection.execute("INSERT INTO migrations (step) VALUES ($1)", step)
    finally:
        await connection.close()
