"""The table of result schemas, as workers announced them."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from batchyard_contracts.v1.manifest import Manifest
from shared.postgres.pool import Pool
from shared.postgres.queries import columns, load_queries

_SQL = load_queries("services.aggregator.persistence")


class StoredSchema(NamedTuple):
    """The schema of a version of a workload, as JSON text."""

    workload: str
    text: str
    checked: bool
    """True: the workers check their results themselves."""
    has_source: bool


class SchemaStore:
    """Reads and writes result schemas. Every write may be repeated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def save(self, manifests: Sequence[Manifest]) -> None:
        """Save the schemas of announced manifests; the oldest versions are deleted."""
        rows = [
            (m.name, m.version, _text(m.result_schema), bool(m.checks_results), m.source_schema is not None)
            for m in {(m.name, m.version): m for m in manifests}.values()
        ]
        await self._pool.execute(_SQL["save_result_schemas"], *columns(rows, 5))
        await self._pool.execute(_SQL["delete_old_result_schemas"], [m.name for m in manifests])

    async def load(self) -> list[StoredSchema]:
        """Return all schemas."""
        return [StoredSchema(*row) for row in await self._pool.fetch(_SQL["result_schemas"])]


def _text(schema: object) -> str:
    return orjson.dumps(schema).decode()
