"""PostgreSQL: a pool bound to one service's schema, forward-only migrations, and named queries kept in .sql files."""

import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

import asyncpg
import structlog

from shared.errors import ConfigurationError
from shared.faults import until_it_passes
from shared.settings import Settings

log = structlog.get_logger()
_NAME = re.compile(r"^--\s*name:\s*(\w+)\s*$", re.MULTILINE)
_MIGRATION = re.compile(r"^(\d{4})_\w+\.sql$")
_LOCK = 0x62617463  # one lock for all migrations of a database

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool  # generic for type checkers alone


async def migrate(settings: Settings, schema: str, package: str) -> None:
    """Bring the schema up to date from `<package>/migrations`."""
    await until_it_passes(lambda: _migrate(settings.database_url, schema, files(package) / "migrations"), "PostgreSQL")


async def open_pool(settings: Settings, schema: str, package: str, session: Mapping[str, str] | None = None) -> Pool:
    """Connect, bring the schema up to date, and make it the search path. `session`: further settings of PostgreSQL."""

    async def attempt() -> Pool:
        await _migrate(settings.database_url, schema, files(package) / "migrations")
        return await asyncpg.create_pool(
            settings.database_url,
            min_size=1,
            max_size=settings.database_pool,
            command_timeout=60,
            reset=_keep,
            server_settings={"search_path": schema, "application_name": f"batchyard-{schema}", **(session or {})},
        )

    return await until_it_passes(attempt, "PostgreSQL")


def load_queries(package: str, file: str = "queries.sql") -> Mapping[str, str]:
    """The statements of a .sql file by the name in the `-- name: …` line above each."""
    parts = _NAME.split((files(package) / file).read_text("utf-8"))
    return {name: text.strip().rstrip(";") for name, text in zip(parts[1::2], parts[2::2], strict=True)}


async def _keep(_: object) -> None:
    """Nothing that services do changes the state of a session, so that it needs no reset: a round trip each time."""


async def _migrate(url: str, schema: str, folder: Traversable) -> None:
    steps = sorted((int(m[1]), f) for f in folder.iterdir() if (m := _MIGRATION.match(f.name)))
    connection = await asyncpg.connect(url, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            await connection.execute(f'SET LOCAL search_path TO "{schema}"')
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations (step int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
            )
            done = {row["step"] for row in await connection.fetch("SELECT step FROM migrations")}
            if done and max(done) > steps[-1][0]:
                raise ConfigurationError(
                    f"The schema {schema!r} is at step {max(done)}, this version knows {steps[-1][0]}: "
                    "start the version that made it, or a newer one."
                )
            for step, file in steps:
                if step not in done:
                    log.info("migrating", schema=schema, step=file.name)
                    await connection.execute(file.read_text("utf-8"))
                    await connection.execute("INSERT INTO migrations (step) VALUES ($1)", step)
    finally:
        await connection.close()
