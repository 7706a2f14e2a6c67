"""Statements of ingest on templates."""

import asyncpg

from batchyard_contracts.v1.templates import TemplateForm
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.stored_form import read_stored
from services.ingest.domain.template import Template
from services.ingest.persistence.audit_log import record_in
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.ingest.persistence", "templates.sql")
MAX_TEMPLATES = 500
"""Largest number of names of an owner's templates."""
MAX_VERSIONS = 1000
TOO_MANY = Rejection(
    "too_many_templates",
    f"An owner has at most {MAX_TEMPLATES} templates with {MAX_VERSIONS} versions each. Delete one that is not needed.",
    409,
)


class TemplateStore:
    """Repository of templates."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def save(self, owner: str, name: str, workload: str, form: TemplateForm, creator: str) -> Template:
        """Insert the next version of a template, unless the latest has the same content; raises `IngestError`."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["lock_template"], owner)
            row = await connection.fetchrow(_SQL["latest_template"], owner, name)
            latest = _template(row) if row else None
            if latest is not None and latest.form == form:
                return latest
            is_new = latest is None and await connection.fetchval(_SQL["count_templates"], owner) >= MAX_TEMPLATES
            if is_new or (latest is not None and latest.version >= MAX_VERSIONS):
                raise IngestError(TOO_MANY)
            version = latest.version + 1 if latest else 1
            (inserted,) = await connection.fetch(
                _SQL["insert_template"], owner, name, version, workload, form.model_dump_json(), creator
            )
            await record_in(connection, "template.save", creator, name, after={"owner": owner, "version": version})
        return _template(inserted)

    async def enter(self, owner: str, name: str, workload: str, form: TemplateForm, creator: str) -> None:
        """Insert the first version of a template, if there is none."""
        await self._pool.execute(_SQL["insert_template"], owner, name, 1, workload, form.model_dump_json(), creator)

    async def get(self, owner: str, name: str, version: int | None = None) -> Template | None:
        """Return a version of a template that an owner sees, by default the latest; None if there is none."""
        row = await self._pool.fetchrow(_SQL["find_template"], owner, name, version)
        return _template(row) if row else None

    async def versions(self, owner: str, name: str) -> list[Template]:
        """Return all versions of a template that an owner sees, the latest first."""
        return [_template(row) for row in await self._pool.fetch(_SQL["template_versions"], owner, name, MAX_VERSIONS)]

    async def page(self, owner: str, after: str, limit: int, prefix: str = "") -> list[Template]:
        """Return the latest versions of the templates that an owner sees, whose names begin with `prefix`, by name."""
        rows = await self._pool.fetch(_SQL["list_templates"], owner, after, limit, prefix)
        return [_template(row) for row in rows]

    async def delete(self, owner: str, name: str, actor: str) -> bool:
        """Delete a template with all its versions; False if there is none. Raises `IngestError` if it is used."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["lock_template"], owner)
            if user := await connection.fetchval(_SQL["schedule_with_template"], owner, name):
                detail = f"The schedule {user!r} uses this template. Delete it, or let it use another one."
                raise IngestError(Rejection("template_in_use", detail, 409))
            status: str = await connection.execute(_SQL["delete_template"], owner, name)
            if found := status != "DELETE 0":
                await record_in(connection, "template.delete", actor, name, before={"owner": owner})
        return found


def _template(row: asyncpg.Record) -> Template:
    form, _ = read_stored(TemplateForm, row["form"])
    return Template(
        row["owner"], row["name"], row["version"], row["workload"], form, row["created_at"], row["created_by"]
    )
